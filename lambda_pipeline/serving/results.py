"""Results of PostgreSQL: their columns, and their rows as plain Python values."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import adapters

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views.view import Column


def plain_rows(rows: Sequence[Sequence[Any]], columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Rows as plain Python values: bytes as `bytes`, a uuid as text, a floating point NaN as `None`.

    Args:
        rows: values as psycopg loads them, one sequence per row in the order of `columns`.
        columns: names and PostgreSQL types.
    """
    changes = {index: change for index, column in enumerate(columns) if (change := _change(column))}
    if not changes:
        return [tuple(row) for row in rows]
    return [
        tuple(
            value if value is None or index not in changes else changes[index](value) for index, value in enumerate(row)
        )
        for row in rows
    ]


def columns_of(description: Iterable[psycopg.Column] | None) -> tuple[Column, ...]:
    """Columns of a result, by the driver's description of it.

    Raises:
        BadRequestError: two columns have one name, a column is an interval (the driver would count a month as 30
            days), or the statement gives no rows at all.
    """
    if description is None:
        raise BadRequestError("the statement gives no rows")
    columns = tuple(Column(name=each.name, type=_type_name(each)) for each in description)
    twice = [name for name, times in Counter(column.name for column in columns).items() if times > 1]
    if twice:
        raise BadRequestError(f"several columns are called {', '.join(twice)}", hint="give each its own name with AS")
    for column in columns:
        if column.type == "interval":
            raise BadRequestError(
                f"column {column.name} is an interval, which has no exact length",
                hint="take a number with extract(), or its text with ::text",
            )
    return columns


def _change(column: Column) -> Callable[[Any], Any] | None:
    family = type_family(column.type)
    if family is TypeFamily.BYTEA:
        return bytes
    if family is TypeFamily.FLOAT:
        # pandas has one missing value for both.
        return lambda value: None if value != value else value  # noqa: PLR0124 (NaN is not equal to itself)
    return str if column.type == "uuid" else None


def _type_name(column: psycopg.Column) -> str:
    known = adapters.types.get(column.type_code)
    if known is None:
        return "text" if column.type_code == psycopg.adapters.types["unknown"].oid else column.type_display
    if known.array_oid and column.type_code == known.array_oid:
        return f"{known.regtype}[]"
    if known.name == "numeric" and column.precision is not None:
        return f"numeric({column.precision},{column.scale or 0})"
    return known.regtype
