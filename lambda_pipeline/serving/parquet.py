"""Parquet files: one exact type for each column; `export` says which."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.serving.cells import to_cell
from lambda_pipeline.serving.column_types import TypeFamily, numeric_modifiers, type_family
from lambda_pipeline.views.view import Column


def write_parquet(answer: Answer, path: Path) -> None:
    """Write the rows of an answer to a Parquet file."""
    fields, arrays = [], []
    for index, column in enumerate(answer.columns):
        values = [row[index] for row in answer.rows]
        type_ = _arrow_type(column, values)
        if pa.types.is_string(type_):
            family = type_family(column.type)
            stored: list[Any] = [to_cell(value, family) for value in values]
        else:
            stored = values
        fields.append(pa.field(column.name, type_, metadata={"postgresql_type": column.type}))
        arrays.append(pa.array(stored, type=type_))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)


_ARROW_INTEGERS = {"smallint": pa.int16(), "int2": pa.int16(), "bigint": pa.int64(), "int8": pa.int64()}
_ARROW_TYPES: dict[TypeFamily, Any] = {
    TypeFamily.FLOAT: pa.float64(),
    TypeFamily.BOOLEAN: pa.bool_(),
    TypeFamily.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    TypeFamily.TIMESTAMP: pa.timestamp("us"),
    TypeFamily.DATE: pa.date32(),
    TypeFamily.TIME: pa.time64("us"),
    TypeFamily.BYTEA: pa.binary(),
}


def _arrow_type(column: Column, values: Sequence[Any]) -> Any:
    family = type_family(column.type)
    if family is TypeFamily.INTEGER:
        return _ARROW_INTEGERS.get(column.type, pa.int32())
    if family is TypeFamily.NUMERIC:
        return _arrow_decimal(column, [value for value in values if value is not None])
    return _ARROW_TYPES.get(family, pa.string())


def _arrow_decimal(column: Column, values: Sequence[Decimal]) -> Any:
    if any(not value.is_finite() for value in values):
        return pa.string()
    precision, scale = numeric_modifiers(column.type) or _smallest(values)
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    if precision > 76:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _smallest(values: Sequence[Decimal]) -> tuple[int, int]:
    """Precision and scale that hold every value; 38 and 0 without a value."""
    if not values:
        return 38, 0
    scale = max(max(0, -int(value.as_tuple().exponent)) for value in values)
    whole = max(max(1, value.adjusted() + 1) for value in values)
    return whole + scale, scale
