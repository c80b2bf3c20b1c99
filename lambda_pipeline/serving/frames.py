"""Rows of PostgreSQL as a pandas frame that loses nothing, and back.

| PostgreSQL | pandas | missing |
|---|---|---|
| text, varchar, uuid | `string` | `pd.NA` |
| smallint, integer, bigint | `Int64` | `pd.NA` |
| boolean | `boolean` | `pd.NA` |
| numeric | object of `decimal.Decimal`: scale as stored, never a float | `None` |
| real, double precision | `Float64` | `pd.NA` |
| timestamptz | `datetime64[us, UTC]` | `pd.NaT` |
| timestamp | `datetime64[us]` | `pd.NaT` |
| date, time | object of `datetime.date`, `datetime.time`: pandas has no types for them | `None` |
| bytea | object of `bytes` | `None` |
| json, jsonb | object: dict, list, str, bool, int, `Decimal` | `None` |
| arrays, anything else | object, as the driver gives it | `None` |

A frame without rows has the same columns and types. A JSON `null` is `None` like a missing value.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
from psycopg import adapters

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views.view import Column

_MISSING_IS_NA: dict[TypeFamily, Any] = {
    TypeFamily.TEXT: pd.StringDtype(),
    TypeFamily.INTEGER: pd.Int64Dtype(),
    TypeFamily.FLOAT: pd.Float64Dtype(),
    TypeFamily.BOOLEAN: pd.BooleanDtype(),
}
_MOMENTS: dict[TypeFamily, Any] = {
    TypeFamily.TIMESTAMPTZ: pd.DatetimeTZDtype("us", "UTC"),
    TypeFamily.TIMESTAMP: "datetime64[us]",
}


def to_frame(rows: Sequence[Sequence[Any]], columns: Sequence[Column]) -> pd.DataFrame:
    """Rows as a frame with the exact types of the module's table.

    Args:
        rows: values as psycopg loads them, one sequence per row in the order of `columns`.
        columns: names, each once, and PostgreSQL types.
    """
    series = {}
    for index, column in enumerate(columns):
        series[column.name] = _series([row[index] for row in rows], column)
    return pd.DataFrame(series, index=pd.RangeIndex(len(rows)), columns=pd.Index([column.name for column in columns]))


def python_values(frame: pd.DataFrame, columns: Sequence[Column]) -> list[list[Any]]:
    """A frame's values, column by column, as plain Python; a missing value is `None`."""
    return [_plain(frame.iloc[:, index], column) for index, column in enumerate(columns)]


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


def _series(values: list[Any], column: Column) -> Any:
    family = type_family(column.type)
    if family in _MISSING_IS_NA:
        return pd.Series(pd.array(values, dtype=_MISSING_IS_NA[family]), name=column.name)
    if family in _MOMENTS:
        return pd.Series(values, dtype=_MOMENTS[family], name=column.name)
    if family is TypeFamily.BYTEA:
        values = [None if value is None else bytes(value) for value in values]
    elif column.type == "uuid":
        texts = [str(value) if isinstance(value, UUID) else value for value in values]
        return pd.Series(pd.array(texts, dtype=pd.StringDtype()), name=column.name)
    return pd.Series(values, dtype=object, name=column.name)


def _plain(series: pd.Series, column: Column) -> list[Any]:
    family = type_family(column.type)
    if family in _MOMENTS:
        return [None if value is pd.NaT else value.to_pydatetime() for value in series]
    return [None if value is pd.NA else value for value in series.tolist()]


def _type_name(column: psycopg.Column) -> str:
    known = adapters.types.get(column.type_code)
    if known is None:
        return "text" if column.type_code == psycopg.adapters.types["unknown"].oid else column.type_display
    if known.array_oid and column.type_code == known.array_oid:
        return f"{known.regtype}[]"
    if known.name == "numeric" and column.precision is not None:
        return f"numeric({column.precision},{column.scale or 0})"
    return known.regtype
