"""Which table each label of a query stands for, and the statement in which they have these names.

A label that is the view's own name needs nothing. Every other one becomes a WITH query around the text, which stays as
it is written: lines and columns of errors are those of the file, but for its first line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from lambda_pipeline.errors import BadRequestError, Problem, SavedQueryError, suggest
from lambda_pipeline.queries.saved_query import Dependency, SavedQuery
from lambda_pipeline.serving.sql.functions import words_of
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.serving.sql.tokens import tokens
from lambda_pipeline.views import ViewFolder

Definitions = Mapping[str, Mapping[str, Any]]
"""ViewDefinitions by the names of their views."""

MAX_DEPTH = 8
"""SQLViews inside one another."""

_RESERVED = words_of(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true
    union unique user using variadic verbose when where window with
    """
)
"""Words that PostgreSQL reads as no table's name unless they are quoted (SQL Key Words, 18: reserved)."""


def definitions_of(folder: ViewFolder) -> Definitions:
    """The definitions by name; of files that do not compile the name alone."""
    return {**{file.view: {} for file in folder.broken}, **{view.name: view.definition for view in folder.views}}


def view_of(dependency: Dependency, definitions: Definitions) -> str | None:
    """The name of the view that a dependency names; None where it names none.

    A version after `|` must be that of the definition.
    """
    url, _, version = dependency.resource.partition("|")
    for name, definition in definitions.items():
        if url in (name, definition.get("url")) and version in ("", definition.get("version")):
            return name
    return None


def statement_of(query: SavedQuery, definitions: Definitions, queries: Sequence[SavedQuery] = ()) -> str:
    """The statement to ask: the query's text, with its labels as WITH queries where they are not names of views.

    Args:
        query: any.
        definitions: of the views that may be read.
        queries: those of them that are SQLViews may be read too; each becomes a WITH query with its own ones inside.

    Raises:
        SavedQueryError: a dependency names nothing that is known, or has the name of another view; SQLViews depend on
            one another in a circle, are nested too deeply, or have SQL that the guard refuses.
        BadRequestError: the text reads a table that is no dependency, or is refused by the guard.
    """
    return _Catalog(definitions, queries).statement(query, (query.name,))


@dataclass(frozen=True, slots=True)
class _Catalog:
    """What the labels of queries may stand for."""

    definitions: Definitions
    queries: Sequence[SavedQuery]

    def statement(self, query: SavedQuery, path: tuple[str, ...]) -> str:
        """The statement of a query; `path` are the names of those that read it, and its own."""
        if not query.dependencies:
            return query.sql
        problems: list[Problem] = []
        tables: dict[str, str] = {}
        for dependency in query.dependencies:
            found = self._table(query, dependency, path)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                tables[found[0]] = found[1]
        if problems:
            raise SavedQueryError(problems)
        guard(query.sql, tables)
        added = [
            sql.SQL("{} AS ({})").format(sql.Identifier(name), sql.SQL(text)) for name, text in tables.items() if text
        ]
        return _with(added, query.sql) if added else query.sql

    def _table(self, query: SavedQuery, dependency: Dependency, path: tuple[str, ...]) -> tuple[str, str] | Problem:
        """The name that the text uses, and what it stands for: empty where it is the view's own name."""
        label = dependency.label
        view = view_of(dependency, self.definitions)
        if label == view:
            return label, ""
        if reason := self._why_not(label):
            return _problem(query, dependency, f"the label {label} is {reason}", "choose another label")
        if view is not None:
            return label.lower(), sql.SQL("SELECT * FROM {}").format(sql.Identifier(view)).as_string()
        saved = saved_view_of(dependency, self.queries)
        if saved is None:
            return self._unknown(query, dependency)
        if not saved.is_view:
            return _problem(query, dependency, f"{saved.name} is no SQLView", "mark it with @type: sql-view")
        return self._nested(query, dependency, saved, path)

    def _why_not(self, label: str) -> str:
        """What keeps a name from being a label; empty where nothing does."""
        if label.lower() in {name.lower() for name in self.definitions}:
            return "the name of another view"
        return "a word of SQL" if label.lower() in _RESERVED else ""

    def _nested(
        self, query: SavedQuery, dependency: Dependency, saved: SavedQuery, path: tuple[str, ...]
    ) -> tuple[str, str] | Problem:
        longer = (*path, saved.name)
        if saved.name in path:
            return _problem(query, dependency, f"queries read one another in a circle: {' -> '.join(longer)}")
        if len(path) > MAX_DEPTH:
            return _problem(query, dependency, f"more than {MAX_DEPTH} SQLViews inside one another")
        text = self.statement(saved, longer)
        try:
            guard(text, self.definitions)
        except BadRequestError as error:
            raise SavedQueryError([Problem(saved.file or saved.name, "$", error.message, error.hint)]) from None
        return dependency.label.lower(), _on_one_line(text)

    def _unknown(self, query: SavedQuery, dependency: Dependency) -> Problem:
        url, _, version = dependency.resource.partition("|")
        saved = {name for each in self.queries if each.is_view for name in (each.name, each.url) if name}
        known = {*self.definitions, *(str(each["url"]) for each in self.definitions.values() if "url" in each), *saved}
        if url in known:
            reason = f"{url} is not known in version {version[:80]}"
            return _problem(query, dependency, reason, "state another version")
        close = suggest(url, known)
        hint = f"did you mean {close}?" if close else f"views: {', '.join(sorted(self.definitions))}"
        return _problem(query, dependency, f"no view has the URL or name {url[:200]}", hint)


def saved_view_of(dependency: Dependency, queries: Sequence[SavedQuery]) -> SavedQuery | None:
    """The saved query that a dependency names; None where it names none."""
    url, _, version = dependency.resource.partition("|")
    found = (each for each in queries if url in (each.name, each.url) and version in ("", each.version))
    return next(found, None)


def _on_one_line(text: str) -> str:
    """The text without comments and line breaks, so that what follows it keeps its line."""
    parts: list[str] = []
    end = None
    for token in tokens(_without_semicolon(text)):
        parts += [token.text] if end in (None, token.start) else [" ", token.text]
        end = token.end
    return "".join(parts)


def _with(tables: Sequence[sql.Composed], text: str) -> str:
    # On one line before the text, whose lines keep their numbers; the guard reads all of it again.
    composed = sql.SQL("WITH {} SELECT * FROM ({}\n) AS saved_query").format(
        sql.SQL(", ").join(tables), sql.SQL(_without_semicolon(text))
    )
    return composed.as_string()


def _without_semicolon(text: str) -> str:
    end = max((token.end for token in tokens(text) if not token.is_symbol(";")), default=0)
    return text[:end]


def _problem(query: SavedQuery, dependency: Dependency, reason: str, hint: str = "") -> Problem:
    return Problem(query.file or query.name, dependency.place or dependency.label, reason, hint)
