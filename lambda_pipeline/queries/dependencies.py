"""Which table each label of a query stands for, and the statement in which they have these names.

A label that is the view's own name needs nothing. Every other one becomes a WITH query around the text, which stays as
it is written: lines and columns of errors are those of the file, but for its first line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from lambda_pipeline.errors import Problem, SavedQueryError, suggest
from lambda_pipeline.queries.saved_query import Dependency, SavedQuery
from lambda_pipeline.serving.sql.functions import words_of
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.serving.sql.tokens import tokens
from lambda_pipeline.views import ViewFolder

Definitions = Mapping[str, Mapping[str, Any]]
"""ViewDefinitions by the names of their views."""

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


def statement_of(query: SavedQuery, definitions: Definitions) -> str:
    """The statement to ask: the query's text, with its labels as WITH queries where they are not names of views.

    Args:
        query: any.
        definitions: of the views that may be read.

    Raises:
        SavedQueryError: a dependency names nothing that is known, or has the name of another view.
        BadRequestError: the text reads a table that is no dependency, or is refused by the guard.
    """
    if not query.dependencies:
        return query.sql
    problems: list[Problem] = []
    tables: dict[str, str] = {}
    for dependency in query.dependencies:
        found = _table_of(query, dependency, definitions)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            tables[found[0]] = found[1]
    if problems:
        raise SavedQueryError(problems)
    guard(query.sql, tables)
    added = [sql.SQL("{} AS ({})").format(sql.Identifier(name), sql.SQL(text)) for name, text in tables.items() if text]
    return _with(added, query.sql) if added else query.sql


def _with(tables: Sequence[sql.Composed], text: str) -> str:
    # On one line before the text, whose lines keep their numbers; the guard reads all of it again.
    composed = sql.SQL("WITH {} SELECT * FROM ({}\n) AS saved_query").format(
        sql.SQL(", ").join(tables), sql.SQL(_without_semicolon(text))
    )
    return composed.as_string()


def _without_semicolon(text: str) -> str:
    end = max((token.end for token in tokens(text) if not token.is_symbol(";")), default=0)
    return text[:end]


def _table_of(query: SavedQuery, dependency: Dependency, definitions: Definitions) -> tuple[str, str] | Problem:
    """The name that the text uses, and what it stands for: empty where it is the view's own name."""
    label = dependency.label
    view = view_of(dependency, definitions)
    if view is None:
        return unknown(query, dependency, definitions)
    if label == view:
        return label, ""
    if label.lower() in {name.lower() for name in definitions}:
        return _problem(query, dependency, f"the label {label} is the name of another view", "choose another label")
    if label.lower() in _RESERVED:
        return _problem(query, dependency, f"the label {label} is a word of SQL", "choose another label")
    return label.lower(), sql.SQL("SELECT * FROM {}").format(sql.Identifier(view)).as_string()


def unknown(query: SavedQuery, dependency: Dependency, definitions: Definitions) -> Problem:
    """The problem of a dependency that names nothing."""
    url, _, version = dependency.resource.partition("|")
    known = {*definitions, *(str(each["url"]) for each in definitions.values() if "url" in each)}
    if url in known:
        return _problem(query, dependency, f"{url} is not known in version {version[:80]}", "state another version")
    close = suggest(url, known)
    return _problem(
        query, dependency, f"no view has the URL or name {url[:200]}",
        f"did you mean {close}?" if close else f"views: {', '.join(sorted(definitions))}",
    )  # fmt: skip


def _problem(query: SavedQuery, dependency: Dependency, reason: str, hint: str) -> Problem:
    return Problem(query.file or query.name, dependency.place or dependency.label, reason, hint)
