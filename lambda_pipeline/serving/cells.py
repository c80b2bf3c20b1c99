"""Values as text without loss: the cells of CSV files and terminal tables, and JSON."""

import base64
import json
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal

from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.serving.column_types import TypeFamily, type_family


def to_json(value: object) -> str:
    """A value as JSON text: `Decimal` as a number with all its digits, times as ISO 8601, bytes as base64."""
    match value:
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return "{" + ", ".join(f"{to_json(str(key))}: {to_json(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(to_json(item) for item in value) + "]"
        case Decimal() if value.is_finite():
            return f"{value:f}"
        case float() if value - value == 0:
            return repr(value)
        case _:
            return json.dumps(to_text(value), ensure_ascii=False)


def to_text(value: object) -> str:
    """A value that is not missing, as text without loss."""
    match value:
        case bool():
            text = "true" if value else "false"
        case Decimal() if value.is_finite():
            text = f"{value:f}"
        case datetime() | date() | time():
            text = value.isoformat()
        case bytes():
            text = base64.b64encode(value).decode("ascii")
        case dict() | list():
            text = to_json(value)
        case _:
            text = str(value)
    return text


def to_cell(value: object, family: TypeFamily) -> str | None:
    """A value of a column as text; None for a missing one."""
    if value is None:
        return None
    return to_json(value) if family is TypeFamily.JSON else to_text(value)


def cells_of(answer: Answer) -> Iterator[list[str | None]]:
    """The rows of an answer as text; None for a missing value."""
    families = [type_family(column.type) for column in answer.columns]
    for row in answer.rows if answer.columns else ():
        yield [to_cell(value, family) for value, family in zip(row, families, strict=True)]
