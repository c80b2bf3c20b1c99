"""Typed filters over a view's columns, and the SQL condition they make.

Filters apply to a merged view, never to one of its two sides. All filters of a question must hold (AND).

| operator | columns | value | keeps rows whose value |
|---|---|---|---|
| `eq`, `ne` | all except jsonb, bytea, lists | one | equals the value; is known and differs from it |
| `lt`, `le`, `gt`, `ge` | text, numbers, dates, times | one | is lower, at most, greater, at least |
| `in` | text, numbers, dates, times | list | is one of them |
| `between` | text, numbers, dates, times | two | lies between them, both included |
| `contains` | text | one | holds the value anywhere, whatever the case |
| `contains` | jsonb (a column that holds a list) | one | has a string element equal to the value |
| `is-null` | all | true or false | is, or is not, missing |

NULL passes `is-null` alone: `ne` keeps rows that are known to differ, as SQL's `<>` does, so a patient of unknown
gender is in neither `gender eq male` nor `gender ne male`. Equality and order of text are those of its bytes (`COLLATE
"C"`), which is also the order of codes and of FHIR dates of one precision; `contains` folds letters as the database's
locale does.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from psycopg import sql

from lambda_pipeline.errors import BadRequestError, suggest
from lambda_pipeline.serving.column_types import TypeFamily, comparable_type, type_family
from lambda_pipeline.serving.value_text import CLOCK, DAY, ZONE, is_missing, is_storable
from lambda_pipeline.views.primitives import TEMPORAL_PATTERNS, primitive_problem
from lambda_pipeline.views.view import Column

Value = str | bool | int | float | Decimal | date | datetime | time
"""What a caller may give; strings are read as the column's type, a float by the digits Python shows for it."""


class Operator(StrEnum):
    """How a column is compared with a value."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    BETWEEN = "between"
    CONTAINS = "contains"
    IS_NULL = "is-null"


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one column; checked when it becomes SQL.

    Attributes:
        column: name of a column of the view.
        operator: see the module's table.
        value: one value; a sequence of them for `in`, two for `between`, a boolean for `is-null`.
    """

    column: str
    operator: Operator
    value: Value | Sequence[Value]


_COMPARISONS: Mapping[Operator, sql.SQL] = {
    Operator.EQ: sql.SQL("="),
    Operator.NE: sql.SQL("<>"),
    Operator.LT: sql.SQL("<"),
    Operator.LE: sql.SQL("<="),
    Operator.GT: sql.SQL(">"),
    Operator.GE: sql.SQL(">="),
}
_EQUALITY = frozenset({Operator.EQ, Operator.NE, Operator.IN})
_ORDERED = frozenset({*_COMPARISONS, Operator.IN, Operator.BETWEEN, Operator.IS_NULL})
_ALLOWED: Mapping[TypeFamily, frozenset[Operator]] = {
    TypeFamily.TEXT: _ORDERED | {Operator.CONTAINS},
    TypeFamily.INTEGER: _ORDERED,
    TypeFamily.NUMERIC: _ORDERED,
    TypeFamily.FLOAT: _ORDERED,
    TypeFamily.BOOLEAN: frozenset({Operator.EQ, Operator.NE, Operator.IS_NULL}),
    TypeFamily.TIMESTAMPTZ: _ORDERED,
    TypeFamily.TIMESTAMP: _ORDERED,
    TypeFamily.DATE: _ORDERED,
    TypeFamily.TIME: _ORDERED,
    TypeFamily.BYTEA: frozenset({Operator.IS_NULL}),
    TypeFamily.JSON: frozenset({Operator.CONTAINS, Operator.IS_NULL}),
    TypeFamily.ARRAY: frozenset({Operator.IS_NULL}),
    TypeFamily.OTHER: frozenset({Operator.IS_NULL}),
}


def parse_filter(column: str, operator: str, value: str) -> Filter:
    """A filter from the three words of a command line; the value is checked when the filter becomes SQL.

    Args:
        column: name of a column.
        operator: one of the words of `Operator`.
        value: the value; for `in` and `between` values separated by commas (blanks around them do not count) or a
            JSON array of strings and numbers; for `is-null` true or false.

    Raises:
        BadRequestError: unknown operator, or a list that cannot be read.
    """
    known = _operator(operator)
    several = known in {Operator.IN, Operator.BETWEEN}
    return Filter(column, known, _list_of_values(value, column, known) if several else value)


def condition(
    filters: Sequence[Filter], columns: Sequence[Column], *, prefix: str = "f"
) -> tuple[sql.Composed, dict[str, Any]]:
    """The filters as one SQL condition, with named parameters.

    Args:
        filters: all must hold; none at all gives `TRUE`.
        columns: the view's columns.
        prefix: parameters are called `<prefix>0`, `<prefix>1` ...; other parts of a statement must use other names.

    Returns:
        The condition, and the values of its parameters, already of the column's type.

    Raises:
        BadRequestError: unknown column, an operator that does not fit its type, a value that is not of its type.
    """
    by_name = {column.name: column for column in columns}
    parts: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for number, each in enumerate(filters):
        column = _column(each.column, by_name)
        operator = _operator(each.operator)
        _refuse_unfit(column, operator)
        name = f"{prefix}{number}"
        part, values = _condition_of(column, operator, each.value, name)
        parts.append(part)
        parameters |= values
    return sql.Composed([sql.SQL(" AND ").join(parts)] if parts else [sql.SQL("TRUE")]), parameters


def _condition_of(
    column: Column, operator: Operator, value: Value | Sequence[Value], name: str
) -> tuple[sql.Composable, dict[str, Any]]:
    left = sql.Identifier(column.name)
    if operator is Operator.IS_NULL:
        missing = _boolean(_single(value, column, operator), column)
        return sql.SQL("{} IS NULL" if missing else "{} IS NOT NULL").format(left), {}
    if operator is Operator.CONTAINS:
        return _contains(column, left, _text(_single(value, column, operator), column), name)
    compared = _in_byte_order(left, column, operator)
    cast = sql.SQL(comparable_type(column.type))
    if operator is Operator.IN:
        values = [_convert(item, column) for item in _several(value, column, operator)]
        return sql.SQL("{} = ANY ({}::{}[])").format(compared, sql.Placeholder(name), cast), {name: values}
    if operator is Operator.BETWEEN:
        low, high = _bounds(value, column)
        parts = compared, sql.Placeholder(f"{name}_low"), cast, sql.Placeholder(f"{name}_high"), cast
        return sql.SQL("{} BETWEEN {}::{} AND {}::{}").format(*parts), {f"{name}_low": low, f"{name}_high": high}
    converted = _convert(_single(value, column, operator), column)
    return (
        sql.SQL("{} {} {}::{}").format(compared, _COMPARISONS[operator], sql.Placeholder(name), cast),
        {name: converted},
    )


def _in_byte_order(left: sql.Composable, column: Column, operator: Operator) -> sql.Composable:
    # Equality is that of the bytes under every deterministic collation; naming one would keep indexes from being used.
    if type_family(column.type) is TypeFamily.TEXT and operator not in _EQUALITY:
        return sql.SQL('{} COLLATE "C"').format(left)
    return left


def _contains(column: Column, left: sql.Composable, value: str, name: str) -> tuple[sql.Composable, dict[str, Any]]:
    if not value:
        raise _bad(column, "contains needs at least one character", "is-null false finds rows with any value")
    if type_family(column.type) is TypeFamily.JSON:
        part = sql.SQL("{}::jsonb @> jsonb_build_array({}::text)").format(left, sql.Placeholder(name))
        return part, {name: value}
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", value) + "%"
    return sql.SQL("{} ILIKE {}::text").format(left, sql.Placeholder(name)), {name: pattern}


def _column(name: str, columns: Mapping[str, Column]) -> Column:
    if not isinstance(name, str):
        raise BadRequestError("a filter's column is not text", hint=_suggestion("", columns))
    if name in columns:
        return columns[name]
    raise BadRequestError(f"there is no column {_shown(name)}", hint=_suggestion(name, columns))


def _operator(word: str) -> Operator:
    if not isinstance(word, str):
        raise BadRequestError("a filter's operator is not text", hint=f"operators: {', '.join(Operator)}")
    try:
        return Operator(word)
    except ValueError:
        raise BadRequestError(
            f"there is no operator {_shown(word)}", hint=f"operators: {', '.join(Operator)}"
        ) from None


def _refuse_unfit(column: Column, operator: Operator) -> None:
    allowed = _ALLOWED[type_family(column.type)]
    if operator not in allowed:
        fitting = ", ".join(each for each in Operator if each in allowed)
        raise _bad(column, f"operator {operator} does not fit type {column.type}", f"it takes {fitting}")


def _single(value: Value | Sequence[Value], column: Column, operator: Operator) -> Value:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    raise _bad(column, f"{operator} takes one value, not a list", "use in for several")


def _several(value: Value | Sequence[Value], column: Column, operator: Operator) -> Sequence[Value]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _bad(column, f"{operator} takes a list of values")
    if not value:
        raise _bad(column, f"{operator} needs at least one value")
    return value


def _bounds(value: Value | Sequence[Value], column: Column) -> tuple[Any, Any]:
    values = _several(value, column, Operator.BETWEEN)
    if len(values) != 2:
        raise _bad(column, f"between takes two values, not {len(values)}")
    low, high = (_convert(item, column) for item in values)
    if (low.encode() > high.encode()) if isinstance(low, str) else (low > high):
        raise _bad(column, "between has its lower bound above its upper one")
    return low, high


def _list_of_values(text: str, column: str, operator: Operator) -> list[Value]:
    # UCUM units such as [lb_av] begin like a JSON array; only what has a quote in it must be one.
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        except ValueError:
            if '"' in text:
                raise BadRequestError(
                    f"column {column}: the value of {operator} is not a JSON array", hint='write ["a,b", "c"]'
                ) from None
        else:
            if any(not isinstance(item, str | bool) for item in items):
                raise BadRequestError(
                    f"column {column}: the JSON array of {operator} may hold strings, numbers and booleans only"
                )
            return list(items)
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise BadRequestError(
            f"column {column}: an empty value among those of {operator}", hint='write them as JSON: ["", "a"]'
        )
    return items


def _convert(value: Value, column: Column) -> Any:
    if is_missing(value):
        raise _bad(column, "the value is missing", "is-null finds rows without a value")
    return _CONVERTERS[type_family(column.type)](value, column)


def _text(value: Value, column: Column) -> str:
    if not isinstance(value, str):
        raise _bad(column, "the value must be text", "quote it")
    if not is_storable(value):
        raise _bad(column, "the value has a character that PostgreSQL's text cannot hold")
    return value


def _compared_text(value: Value, column: Column) -> str:
    """A text that is compared: dates of FHIR with their like, since `1/1/1980` has no place in their order."""
    text = _text(value, column)
    fhir_type = column.fhir_type or ""
    if fhir_type in TEMPORAL_PATTERNS and (problem := primitive_problem(text, fhir_type)):
        raise _bad(column, problem.replace("the text", "the value"))
    return text


_INTEGER_BITS = {"smallint": 15, "integer": 31, "bigint": 63}


def _integer(value: Value, column: Column) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(column, "the value is not a whole number")
    limit = 1 << _INTEGER_BITS[comparable_type(column.type)]
    if not -limit <= value < limit:
        raise _bad(column, f"the value is out of the range of {column.type}")
    return value


_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_DIGITS = 1000
"""The most digits before and after the point of a number that is compared; PostgreSQL's own limit is higher."""


def _decimal(value: Value, column: Column) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise _bad(column, "the value is not a number")
    text = repr(value) if isinstance(value, float) else str(value)
    if not _NUMBER.fullmatch(text):
        raise _bad(column, "the value is not a number", "write it like 6.5")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _bad(column, "the value is not a number", "write it like 6.5") from None
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and (number.adjusted() >= _DIGITS or exponent < -_DIGITS):
        raise _bad(column, f"the value has more than {_DIGITS} digits before or after the point")
    return number


def _boolean(value: Value, column: Column) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _bad(column, "the value is neither true nor false")


def _instant(value: Value, column: Column) -> datetime:
    hint = "write it like 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00"
    if isinstance(value, str):
        form = f"{DAY}[T ]{CLOCK}{ZONE}"
        value = _iso(datetime.fromisoformat, form, value, column, "moment with a zone", hint)
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _bad(column, "the value is not a moment with a zone", hint)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise _bad(column, "the value is out of the range of years 1 to 9999", hint) from None


def _local_moment(value: Value, column: Column) -> datetime:
    hint = "write it like 2026-01-31T08:00:00; the column has no zone"
    if isinstance(value, str):
        form = f"{DAY}(?:[T ]{CLOCK})?"
        value = _iso(datetime.fromisoformat, form, value, column, "moment without a zone", hint)
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise _bad(column, "the value is not a moment without a zone", hint)
    return value


def _date(value: Value, column: Column) -> date:
    hint = "write it like 2026-01-31"
    if isinstance(value, str):
        value = _iso(date.fromisoformat, DAY, value, column, "date", hint)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _bad(column, "the value is not a date", hint)
    return value


def _time(value: Value, column: Column) -> time:
    hint = "write it like 08:30:00"
    if isinstance(value, str):
        value = _iso(time.fromisoformat, CLOCK, value, column, "time of day", hint)
    if not isinstance(value, time) or value.tzinfo is not None:
        raise _bad(column, "the value is not a time of day", hint)
    return value


def _iso(parse: Callable[[str], Any], form: str, text: str, column: Column, what: str, hint: str) -> Any:
    if not re.fullmatch(form, text):
        raise _bad(column, f"the value is not a {what}", hint)
    try:
        return parse(text)
    except ValueError:
        raise _bad(column, f"the value is not a {what}", hint) from None


_CONVERTERS: Mapping[TypeFamily, Callable[[Value, Column], Any]] = {
    TypeFamily.TEXT: _compared_text,
    TypeFamily.INTEGER: _integer,
    TypeFamily.NUMERIC: _decimal,
    TypeFamily.FLOAT: _decimal,
    TypeFamily.BOOLEAN: _boolean,
    TypeFamily.TIMESTAMPTZ: _instant,
    TypeFamily.TIMESTAMP: _local_moment,
    TypeFamily.DATE: _date,
    TypeFamily.TIME: _time,
}


def _bad(column: Column, reason: str, hint: str = "") -> BadRequestError:
    return BadRequestError(f"column {column.name}: {reason}", hint=hint)


def _suggestion(name: str, known: Collection[str]) -> str:
    close = suggest(name, known)
    return f"did you mean {close}?" if close else f"columns: {', '.join(known)}"


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:79] + "…")
