"""Columns that a statement reads from views that do not have them; as far as the text alone can tell.

PostgreSQL decides when the query is asked. Here only names are reported that can mean nothing else: those with the name
of a view before them, and those without one in a SELECT that reads nothing but views.
"""

from collections.abc import Collection, Iterator, Mapping

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from lambda_pipeline.errors import suggest
from lambda_pipeline.serving.sql.parse import bounded, parse
from lambda_pipeline.serving.sql.tokens import tokens

Tables = Mapping[str, Collection[str]]
"""Columns by the name of their table in the statement."""


def unknown_columns(statement: str, tables: Tables) -> list[tuple[int | None, str, str]]:
    """Line, reason and hint for each column that its table lacks, in the order of the text.

    Args:
        statement: one that the guard accepts.
        tables: those whose columns are known.
    """
    words = tokens(statement)
    try:
        scopes = traverse_scope(parse(statement, bounded(statement, words)))
        found = {_line(column): described for scope in scopes for column, *described in _of_scope(scope, tables)}
    except (SqlglotError, RecursionError):
        return []
    return [(line, reason, hint) for (line, _), (reason, hint) in sorted(found.items())]


def _of_scope(scope: Scope, tables: Tables) -> Iterator[tuple[exp.Column, str, str]]:
    known = {
        alias: tables[source.name]
        for alias, source in scope.sources.items()
        if isinstance(source, exp.Table) and source.name in tables
    }
    for column in scope.columns:
        if isinstance(column.this, exp.Star):
            continue
        if column.table in known and column.name not in known[column.table]:
            yield column, *_describe(column.name, column.table, known[column.table])
        elif column.table or column.find_ancestor(exp.Select) is not scope.expression:
            continue
        elif known and _is_settled(scope, known, column.name):
            yield (
                column,
                *_describe(column.name, ", ".join(known), {each for names in known.values() for each in names}),
            )


def _is_settled(scope: Scope, known: Tables, name: str) -> bool:
    """Whether a name without a table can only be a column of these tables, and is none."""
    if len(known) < len(scope.sources) or scope.is_correlated_subquery or scope.is_subquery or scope.is_udtf:
        return False
    outputs = [each.alias for each in scope.expression.find_all(exp.Alias)]
    return not any(name in names for names in known.values()) and name not in outputs and name not in known


def _describe(name: str, table: str, columns: Collection[str]) -> tuple[str, str]:
    close = suggest(name, columns)
    hint = f"did you mean {close}?" if close else f"its columns: {', '.join(columns)}"
    return f"{table} has no column {name}", hint


def _line(column: exp.Column) -> tuple[int, int]:
    meta = column.this.meta
    return int(meta.get("line", 0)), int(meta.get("col", 0))
