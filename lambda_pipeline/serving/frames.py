"""Rows of an answer as a pandas frame that loses nothing.

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

A frame without rows has the same columns and types. A JSON `null` is `None` like a missing value. pandas takes longer
to import than most questions take to answer, so only `Answer.frame` imports this module.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

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
        rows: plain values (`results.plain_rows`), one sequence per row in the order of `columns`.
        columns: names, each once, and PostgreSQL types.
    """
    series = {}
    for index, column in enumerate(columns):
        series[column.name] = _series([row[index] for row in rows], column)
    return pd.DataFrame(series, index=pd.RangeIndex(len(rows)), columns=pd.Index([column.name for column in columns]))


def _series(values: list[Any], column: Column) -> Any:
    family = type_family(column.type)
    if family in _MISSING_IS_NA:
        return pd.Series(pd.array(values, dtype=_MISSING_IS_NA[family]), name=column.name)
    if family in _MOMENTS:
        return pd.Series(values, dtype=_MOMENTS[family], name=column.name)
    if column.type == "uuid":
        return pd.Series(pd.array(values, dtype=pd.StringDtype()), name=column.name)
    return pd.Series(values, dtype=object, name=column.name)
