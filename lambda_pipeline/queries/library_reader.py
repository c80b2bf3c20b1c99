"""A `Library` of the profile SQLQuery or SQLView as a saved query. Its elements decide; annotations in its SQL do not.

What would change the meaning of the query and is not understood is refused by its name and place, never left out.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, get_args

from lambda_pipeline.errors import BadRequestError, Problem
from lambda_pipeline.queries.header import QUERY, VIEW, parameter_problems, placeholders, read_parameter
from lambda_pipeline.queries.library import CONTENT_TYPE, SQL_TEXT, TYPE_SYSTEM
from lambda_pipeline.queries.saved_query import (
    NAME,
    NAME_HINT,
    Dependency,
    Parameter,
    QueryFile,
    SavedQuery,
    Status,
)

_DIALECT = f"{CONTENT_TYPE};dialect=postgresql"
_MODIFIERS = ("modifierExtension", "implicitRules")


def read_library(text: str, file: str) -> QueryFile:
    """The query of a Library as JSON, or everything that keeps it from being asked.

    Args:
        text: of the file.
        file: its name.
    """
    stem = PurePath(file).stem
    reader = _Reader(file)
    try:
        library = json.loads(text)
    except (ValueError, RecursionError):
        reader.say("$", "is not JSON")
        return QueryFile(file, stem, None, tuple(reader.problems))
    if not isinstance(library, dict) or library.get("resourceType") != "Library":
        reader.say("$.resourceType", "is not a Library")
        return QueryFile(file, stem, None, tuple(reader.problems))
    name = library.get("name")
    name = name if isinstance(name, str) and name else stem
    query = reader.read(library, name)
    return QueryFile(file, name, None if reader.problems else query, tuple(reader.problems))


@dataclass(slots=True)
class _Reader:
    """Reads one Library and collects what is wrong with it."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def read(self, library: Mapping[str, Any], name: str) -> SavedQuery:
        self._modifiers(library, "$")
        if not NAME.fullmatch(name):
            self.say("$.name", "is not a name of a query", NAME_HINT)
        is_view = self._type(library.get("type"))
        sql = self._sql(self._items(library, "content"))
        parameters = self._parameters(self._items(library, "parameter"))
        query = SavedQuery(
            name,
            sql,
            self.file,
            declared=True,
            is_view=is_view,
            parameters=parameters,
            dependencies=self._dependencies(self._items(library, "relatedArtifact")),
            status=self._status(library.get("status")),
            authors=tuple(self._text(each, "name", "$.author") for each in self._items(library, "author")),
            **{key: self._text(library, key, "$") for key in ("title", "description", "version", "publisher", "url")},
        )
        if not self.problems:
            self._check_parameters(query)
        return query

    def say(self, place: str, reason: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, place, reason, hint))

    def _type(self, type_: Any) -> bool:
        codings = type_.get("coding") if isinstance(type_, dict) else None
        codes = [
            each.get("code")
            for each in (codings if isinstance(codings, list) else [])
            if isinstance(each, dict) and each.get("system") == TYPE_SYSTEM
        ]
        if codes not in ([QUERY], [VIEW]):
            self.say("$.type", f"has not one code of {TYPE_SYSTEM}", f"{QUERY} or {VIEW}")
        return codes == [VIEW]

    def _sql(self, contents: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
        found: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for place, content in contents:
            type_ = "".join(self._text(content, "contentType", place).lower().split())
            if not type_.startswith(CONTENT_TYPE):
                self.say(f"{place}.contentType", f"does not begin with {CONTENT_TYPE}")
            elif type_ in found:
                self.say(f"{place}.contentType", "stands twice")
            found[type_] = place, content
        chosen = found.get(_DIALECT) or found.get(CONTENT_TYPE)
        if chosen is None:
            self.say(
                "$.content", "has SQL neither for PostgreSQL nor without a dialect", f"{_DIALECT} or {CONTENT_TYPE}"
            )
            return ""
        return self._decoded(*chosen)

    def _decoded(self, place: str, content: Mapping[str, Any]) -> str:
        try:
            sql = base64.b64decode("".join(self._text(content, "data", place).split()), validate=True).decode(
                "utf-8-sig"
            )
        except ValueError:
            self.say(f"{place}.data", "is not UTF-8 in base64")
            return ""
        if not sql.strip():
            self.say(f"{place}.data", "is missing", "SQL at a URL, or in the extension sql-text alone, is not read")
        extensions = content.get("extension")
        for each in extensions if isinstance(extensions, list) else []:
            is_copy = isinstance(each, dict) and each.get("url") == SQL_TEXT
            if is_copy and str(each.get("valueString")).split() != sql.split():
                self.say(f"{place}.extension", "sql-text is another text than data")
        return sql

    def _parameters(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Parameter, ...]:
        found = []
        for place, item in items:
            if item.get("use") != "in":
                self.say(f"{place}.use", "is not in", "results of a query are its rows")
            if item.get("min", 1) != 1:
                self.say(f"{place}.min", "is not 1", "every parameter needs a value")
            if item.get("max", "1") != "1":
                self.say(f"{place}.max", "is not 1", "a parameter takes one value")
            if "profile" in item:
                self.say(f"{place}.profile", "cannot be checked here")
            name, type_ = self._text(item, "name", place), self._text(item, "type", place)
            parameter, problems = read_parameter(name, type_, self._text(item, "documentation", place))
            for reason, hint in problems:
                self.say(place, reason, hint)
            if parameter:
                found.append(parameter)
        return tuple(found)

    def _dependencies(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Dependency, ...]:
        found: list[Dependency] = []
        for place, item in items:
            if item.get("type") != "depends-on":
                self.say(f"{place}.type", "is not depends-on")
            label, resource = self._text(item, "label", place), self._text(item, "resource", place)
            if not NAME.fullmatch(label):
                self.say(f"{place}.label", "is not a label", NAME_HINT)
            if not resource:
                self.say(f"{place}.resource", "is missing")
            if label.lower() in (each.label.lower() for each in found):
                self.say(f"{place}.label", f"{label} stands twice")
            found.append(Dependency(resource, label, place))
        return tuple(found)

    def _status(self, status: Any) -> Status:
        for each in get_args(Status):
            if status == each:
                return each  # type: ignore[no-any-return]
        self.say("$.status", "is missing or unknown", f"one of {', '.join(get_args(Status))}")
        return "unknown"

    def _check_parameters(self, query: SavedQuery) -> None:
        try:
            used = placeholders(query.sql)
        except BadRequestError:
            return
        for reason, hint in parameter_problems(query.parameters, used, is_view=query.is_view):
            self.say("$.parameter", reason, hint)

    def _items(self, library: Mapping[str, Any], key: str) -> list[Any]:
        """The objects of a list with their places; of `author` the objects alone."""
        items = library.get(key, [])
        if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
            self.say(f"$.{key}", "is not a list of objects")
            return []
        places = [(f"$.{key}[{index}]", each) for index, each in enumerate(items)]
        for place, each in places:
            self._modifiers(each, place)
        return items if key == "author" else places

    def _modifiers(self, item: Mapping[str, Any], place: str) -> None:
        for key in _MODIFIERS:
            if key in item:
                self.say(f"{place}.{key}", "may change what the query means, and is not understood")

    def _text(self, item: Mapping[str, Any], key: str, place: str) -> str:
        value = item.get(key, "")
        if not isinstance(value, str):
            self.say(f"{place}.{key}", "is not text")
            return ""
        return value
