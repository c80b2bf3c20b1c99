"""A file of SQL with a header: annotations in its comments, as SQL on FHIR 3.0.0-ballot describes for SQLQuery.

Two annotations are ours, since the guide has none for them: `@url` (`Library.url`) and `@type: sql-view`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, get_args

from lambda_pipeline.errors import BadRequestError, Problem, suggest
from lambda_pipeline.queries.comments import Annotation, find_annotations
from lambda_pipeline.queries.saved_query import (
    NAME,
    NAME_HINT,
    Dependency,
    Parameter,
    QueryFile,
    SavedQuery,
    Status,
)
from lambda_pipeline.queries.values import PARAMETER_TYPES, read_value
from lambda_pipeline.serving.sql.tokens import TokenType, tokens
from lambda_pipeline.views.primitives import primitive_problem

QUERY, VIEW = "sql-query", "sql-view"
_EXAMPLE = re.compile(r"\(example: (?P<value>[^()]+)\)\s*$")


def read_sql(text: str, file: str) -> QueryFile:
    """The query of a file of SQL, or everything that is wrong with its header.

    Args:
        text: of the file.
        file: its name; without an annotation `@name` the query has this name, without suffix.
    """
    stem = PurePath(file).stem
    try:
        annotations = list(find_annotations(text))
        used = placeholders(text)
    except BadRequestError:
        # The guard says the same with line and column when the query is asked or checked.
        annotations, used = [], ()
    header = _Header(file)
    for annotation in annotations:
        header.read(annotation)
    header.judge_strays()
    if not header.declared:
        name = stem if NAME.fullmatch(stem) else re.sub(r"[^A-Za-z0-9_]", "_", stem)
        return QueryFile(file, name, SavedQuery(name, text, file), (), tuple(header.warnings))
    header.check(stem, used)
    name = str(header.values.get("name", stem))
    query = SavedQuery(**{**header.values, "name": name}, sql=text, file=file, declared=True)
    problems = tuple(header.problems)
    return QueryFile(file, name, None if problems else query, problems, tuple(header.warnings))


def placeholders(text: str) -> tuple[str, ...]:
    """Names of the parameters that a statement uses, each once.

    Raises:
        BadRequestError: its tokens cannot be read.
    """
    return tuple(dict.fromkeys(token.value for token in tokens(text) if token.type is TokenType.PLACEHOLDER))


def parameter_problems(parameters: Iterable[Parameter], used: Iterable[str], *, is_view: bool) -> list[tuple[str, str]]:
    """What is wrong with the parameters of a query, as reason and hint.

    Args:
        parameters: as declared.
        used: names in the statement.
        is_view: whether it is one that other queries read.
    """
    declared = [parameter.name for parameter in parameters]
    found = [(f":{name} is declared twice", "") for name in dict.fromkeys(declared) if declared.count(name) > 1]
    if is_view and declared:
        found.append((f"an SQLView declares :{declared[0]}", "SQLViews have no parameters"))
    unused = [name for name in dict.fromkeys(declared) if name not in used]
    undeclared = [name for name in used if name not in declared]
    return [
        *found,
        *((f":{name} is declared and not used", _meant(name, undeclared)) for name in unused),
        *(
            (f":{name} is used and not declared", _meant(name, unused) or "write @param: name type")
            for name in undeclared
        ),
    ]


def label_of(resource: str) -> str:
    """The label of a dependency that states none: the last part of its URL, or its name."""
    return resource.partition("|")[0].rpartition("/")[2]


def read_parameter(name: str, type_: str, text: str) -> tuple[Parameter | None, list[tuple[str, str]]]:
    """A declared parameter, or what is wrong with it, as reason and hint; a wrong example is left to `lint`."""
    found = []
    if not NAME.fullmatch(name):
        found.append((f"{name[:80]!r} is not the name of a parameter", NAME_HINT))
    if type_ not in PARAMETER_TYPES:
        close = suggest(type_, PARAMETER_TYPES)
        hint = f"did you mean {close}?" if close else f"one of {', '.join(sorted(PARAMETER_TYPES))}"
        found.append((f":{name[:80]} has the unknown type {type_[:80]!r}", hint))
    example = _EXAMPLE.search(text)
    return (None if found else Parameter(name, type_, text, example["value"].strip() if example else None)), found


def example_problem(parameter: Parameter) -> str:
    """Why the example of a parameter is not a value of it; empty if it is one, or if there is none."""
    if parameter.example is not None:
        try:
            read_value(parameter, parameter.example)
        except BadRequestError:
            return f"the example of {parameter} is not a value of its type"
    return ""


def _meant(name: str, known: Iterable[str]) -> str:
    close = suggest(name, known)
    return f"did you mean :{close}?" if close else ""


@dataclass(slots=True)
class _Header:
    """Collects what the annotations of one file say."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    declared: bool = False
    _first_lines: dict[str, int] = field(default_factory=dict)
    _strays: list[Annotation] = field(default_factory=list)

    def read(self, annotation: Annotation) -> None:
        reader = _READERS.get(annotation.key)
        if reader is None or not annotation.has_colon:
            self._strays.append(annotation)
            self.declared |= annotation.has_colon and bool(suggest(annotation.key, _READERS))
            return
        self.declared = True
        place = f"line {annotation.line}"
        if not annotation.value:
            self._say(place, f"@{annotation.key} has no value")
        elif annotation.key not in _REPEATED and annotation.key in self._first_lines:
            self._say(place, f"@{annotation.key} stands in line {self._first_lines[annotation.key]} too")
        else:
            self._first_lines[annotation.key] = annotation.line
            reader(self, annotation.value, place)

    def judge_strays(self) -> None:
        """Lines that look like annotations are problems in a header, if one is meant; elsewhere they are warnings."""
        for stray in self._strays:
            close = suggest(stray.key, _READERS)
            hint = f"did you mean @{close}: ...?" if close else ""
            reason = f"@{stray.key[:80]} is not an annotation" if close != stray.key else f"@{close} has no colon"
            known = self.problems if close and self.declared else self.warnings
            known.append(Problem(self.file, f"line {stray.line}", reason, hint))

    def check(self, stem: str, used: tuple[str, ...]) -> None:
        """Check what several annotations say together."""
        if "name" not in self.values and not NAME.fullmatch(stem):
            self._say("$", f"the file's name {stem[:80]!r} is no name of a query", f"add @name; {NAME_HINT}")
        labels = [each.label.lower() for each in self.values.get("dependencies", ())]
        for each in self.values.get("dependencies", ()):
            if labels.count(each.label.lower()) > 1:
                self._say(each.place, f"the label {each.label} is given twice")
        if not self.problems:
            is_view = bool(self.values.get("is_view"))
            for reason, hint in parameter_problems(self.values.get("parameters", ()), used, is_view=is_view):
                self._say("$", reason, hint)

    def name(self, value: str, place: str) -> None:
        if not NAME.fullmatch(value):
            self._say(place, f"{value[:80]!r} is not a name", NAME_HINT)
        self.values["name"] = value

    def status(self, value: str, place: str) -> None:
        if value not in get_args(Status):
            self._say(place, f"unknown status {value[:80]!r}", f"one of {', '.join(get_args(Status))}")
        self.values["status"] = value

    def type(self, value: str, place: str) -> None:
        if value not in {QUERY, VIEW}:
            self._say(place, f"unknown type {value[:80]!r}", f"{QUERY} or {VIEW}")
        self.values["is_view"] = value == VIEW

    def url(self, value: str, place: str) -> None:
        if primitive_problem(value, "canonical") or ":" not in value:
            self._say(place, "the value is not a URL")
        self.values["url"] = value

    def author(self, value: str, _: str) -> None:
        self.values["authors"] = (*self.values.get("authors", ()), value)

    def param(self, value: str, place: str) -> None:
        name, _, rest = value.partition(" ")
        type_, _, text = rest.strip().partition(" ")
        if not type_:
            self._say(place, f"@param: {name[:80]} has no type", "write @param: name type text")
            return
        parameter, found = read_parameter(name, type_, text.strip())
        for reason, hint in found:
            self._say(place, reason, hint)
        if parameter:
            self.values["parameters"] = (*self.values.get("parameters", ()), parameter)

    def dependency(self, value: str, place: str) -> None:
        words = value.split()
        if len(words) not in {1, 3} or (len(words) == 3 and words[1].lower() != "as"):
            self._say(place, "not a dependency", "write @relatedDependency: URL as label")
            return
        label = words[-1] if len(words) == 3 else label_of(words[0])
        if not NAME.fullmatch(label):
            self._say(place, f"{label[:80]!r} is not a label", NAME_HINT)
        self.values["dependencies"] = (*self.values.get("dependencies", ()), Dependency(words[0], label, place))

    def _say(self, place: str, reason: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, place, reason, hint))


def _plain(key: str) -> Callable[[_Header, str, str], None]:
    def read(header: _Header, value: str, _: str) -> None:
        header.values[key] = value

    return read


_READERS: Mapping[str, Callable[[_Header, str, str], None]] = {
    "name": _Header.name,
    "title": _plain("title"),
    "description": _plain("description"),
    "version": _plain("version"),
    "status": _Header.status,
    "author": _Header.author,
    "publisher": _plain("publisher"),
    "param": _Header.param,
    "relatedDependency": _Header.dependency,
    "url": _Header.url,
    "type": _Header.type,
}
_REPEATED = frozenset(("author", "param", "relatedDependency"))
