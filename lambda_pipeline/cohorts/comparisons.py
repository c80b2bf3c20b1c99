"""Comparisons on a view's columns as SQL conditions with bound parameters.

Values are checked and converted by `serving.filters`; here is what a cohort's comparison means beyond a filter: dates
as intervals of days, units, code sets, and the case of texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import sql

from lambda_pipeline.cohorts.code_sets import CodeSet
from lambda_pipeline.cohorts.days import days_of, first_day, is_date, last_day
from lambda_pipeline.cohorts.definition import (
    Between,
    Compare,
    Comparison,
    Contains,
    In,
    InCodeSet,
    Missing,
    Unit,
    Valued,
)
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.serving.filters import Filter, Operator, condition
from lambda_pipeline.views.primitives import primitive_problem
from lambda_pipeline.views.view import Column

Columns = Mapping[str, Column]
NUMBERS = frozenset({TypeFamily.INTEGER, TypeFamily.NUMERIC, TypeFamily.FLOAT})


@dataclass(slots=True)
class Parameters:
    """Values of a statement, by the names that it has for them."""

    values: dict[str, Any] = field(default_factory=dict)
    used: int = 0

    def prefix(self) -> str:
        """A beginning of names that nothing else has."""
        self.used += 1
        return f"p{self.used}_"

    def bind(self, value: Any, type_name: str) -> sql.Composed:
        """A value as SQL of this type."""
        name = f"{self.prefix()}0"
        self.values[name] = value
        return sql.SQL("CAST({} AS {})").format(sql.Placeholder(name), sql.SQL(type_name))


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison as SQL; NULL counts as false.

    Attributes:
        sure: it holds on every day that the row's date may stand for.
        possible: it holds on one of these days; None where the comparison is on no date.
        other_unit: the row has a value, but not in the unit; None where the comparison names no unit.
    """

    sure: sql.Composable
    possible: sql.Composable | None = None
    other_unit: sql.Composable | None = None


def compared(
    comparison: Comparison, columns: Columns, code_sets: Mapping[str, CodeSet], parameters: Parameters
) -> Condition:
    """The condition of one comparison.

    Args:
        comparison: on columns that the view has.
        columns: of the view, by name.
        code_sets: by name.
        parameters: receives the values.

    Raises:
        BadRequestError: the operator does not fit the column, or a value is not one of its type.
    """
    found = _compared(comparison, columns, code_sets, parameters)
    if not isinstance(comparison, Valued) or not comparison.or_missing:
        return found
    form, name = sql.SQL("({} OR {} IS NULL)"), sql.Identifier(comparison.column)
    return Condition(
        form.format(found.sure, name), None if found.possible is None else form.format(found.possible, name)
    )


def _compared(
    comparison: Comparison, columns: Columns, code_sets: Mapping[str, CodeSet], parameters: Parameters
) -> Condition:
    column = columns[comparison.column]
    match comparison:
        case InCodeSet():
            return Condition(_in_code_set(comparison, column, code_sets[comparison.code_set], parameters))
        case Contains():
            return Condition(_contains(comparison, column, parameters))
        case Missing():
            return Condition(_filter(column, Operator.IS_NULL, comparison.operator == "is_null", parameters))
        case Compare() | Between() | In() if is_date(column):
            return _on_days(comparison, column, parameters)
        case Compare() | Between() | In():
            value: Any = comparison.value if isinstance(comparison, Compare) else list(comparison.value)
            sure = _filter(column, Operator(comparison.operator), _typed(value, column), parameters)
            return _in_unit(sure, column, comparison.unit, columns, parameters)


def _filter(column: Column, operator: Operator, value: Any, parameters: Parameters) -> sql.Composable:
    text, values = condition([Filter(column.name, operator, value)], [column], prefix=parameters.prefix())
    parameters.values |= values
    return text


def _typed(value: Any, column: Column) -> Any:
    """The value; a text is refused for a number or a boolean, which `filters` would read from it."""
    for item in value if isinstance(value, list) else [value]:
        if hint := mixed_up(item, column):
            raise BadRequestError(f"column {column.name}: a text is compared with a number", hint=hint)
        if type_family(column.type) is TypeFamily.BOOLEAN and not isinstance(item, bool):
            raise BadRequestError(f"column {column.name}: the value is neither true nor false")
    return value


def mixed_up(value: object, column: Column) -> str:
    """What to do about a text that is compared with a number; empty where that is not so."""
    if type_family(column.type) in NUMBERS and isinstance(value, str):
        return "leave out the quotes"
    if type_family(column.type) is TypeFamily.TEXT and isinstance(value, int | Decimal) and not is_date(column):
        return "quote the value"
    return ""


def _in_unit(
    sure: sql.Composable, column: Column, unit: Unit | None, columns: Columns, parameters: Parameters
) -> Condition:
    if unit is None:
        return Condition(sure)
    if type_family(column.type) not in NUMBERS:
        raise BadRequestError(f"column {column.name}: only numbers have a unit")
    if type_family(columns[unit.column].type) is not TypeFamily.TEXT:
        raise BadRequestError(f"column {unit.column}: a unit's code is text")
    value, code, bound = sql.Identifier(column.name), sql.Identifier(unit.column), parameters.bind(unit.code, "text")
    return Condition(
        sql.SQL("{} AND {} = {}").format(sure, code, bound),
        other_unit=sql.SQL("{} IS NOT NULL AND {} IS DISTINCT FROM {}").format(value, code, bound),
    )


def _in_code_set(comparison: InCodeSet, column: Column, code_set: CodeSet, parameters: Parameters) -> sql.Composable:
    if type_family(column.type) is not TypeFamily.TEXT:
        raise BadRequestError(f"column {column.name}: a code is text")
    found = sql.SQL("{} = ANY ({})").format(
        sql.Identifier(column.name), parameters.bind(list(code_set.codes), "text[]")
    )
    if comparison.system_column is None:
        return found
    system = sql.SQL("{} = {}").format(
        sql.Identifier(comparison.system_column), parameters.bind(code_set.system, "text")
    )
    return sql.SQL("{} AND {}").format(found, system)


def _contains(comparison: Contains, column: Column, parameters: Parameters) -> sql.Composable:
    family = type_family(column.type)
    if family is TypeFamily.JSON and (comparison.case == "ignore" or comparison.whole_word):
        raise BadRequestError(
            f"column {column.name}: elements of a list are compared as a whole",
            hint="case: sensitive, without whole_word",
        )
    if family is not TypeFamily.TEXT:
        return _filter(column, Operator.CONTAINS, comparison.value, parameters)
    name, sensitive = sql.Identifier(column.name), comparison.case == "sensitive"
    if comparison.whole_word:
        # PostgreSQL's regular expressions take a backslash before any other character as that character.
        escaped = re.sub(r"([^\w\s])", r"\\\1", comparison.value)
        bound = parameters.bind(f"(^|[^[:alnum:]_]){escaped}($|[^[:alnum:]_])", "text")
        return sql.SQL("{} ~ {}" if sensitive else "{} ~* {}").format(name, bound)
    if sensitive:
        return sql.SQL("strpos({}, {}) > 0").format(name, parameters.bind(comparison.value, "text"))
    return _filter(column, Operator.CONTAINS, comparison.value, parameters)


def _on_days(comparison: Compare | Between | In, column: Column, parameters: Parameters) -> Condition:
    if comparison.unit is not None:
        raise BadRequestError(f"column {column.name}: only numbers have a unit")
    name = sql.Identifier(column.name)
    first, last = first_day(name, column), last_day(name, column)
    match comparison:
        case Compare(operator="eq") | In():
            values = comparison.value if isinstance(comparison, In) else (comparison.value,)
            spans = _merged([_days(value, column) for value in values])
            sure = [_within(first, last, span, parameters) for span in spans]
            possible = [_meets(first, last, span, parameters) for span in spans]
            return Condition(_any(sure), _any(possible))
        case Between():
            low, high = _days(comparison.value[0], column)[0], _days(comparison.value[1], column)[1]
            if low > high:
                raise BadRequestError(f"column {column.name}: between has its lower bound above its upper one")
            span = low, high
            return Condition(_within(first, last, span, parameters), _meets(first, last, span, parameters))
        case Compare(operator="ne"):
            span = _days(comparison.value, column)
            return Condition(
                sql.SQL("NOT ({})").format(_meets(first, last, span, parameters)),
                sql.SQL("NOT ({})").format(_within(first, last, span, parameters)),
            )
        case Compare(operator=operator):
            low, high = _days(comparison.value, column)
            bound = parameters.bind(low if operator in ("lt", "ge") else high, "date")
            sign = sql.SQL({"lt": "<", "le": "<=", "gt": ">", "ge": ">="}[operator])
            ends = (last, first) if operator in ("lt", "le") else (first, last)
            sure_, possible_ = (sql.SQL("{} {} {}").format(end, sign, bound) for end in ends)
            return Condition(sure_, possible_)


def _days(value: Any, column: Column) -> tuple[date, date]:
    problem = primitive_problem(value, "date") if isinstance(value, str) else "the value is not a date"
    if problem:
        raise BadRequestError(
            f"column {column.name}: the value is not a date", hint="write 1980, 1980-06 or 1980-06-30, as text"
        )
    return days_of(value)


def _merged(spans: list[tuple[date, date]]) -> list[tuple[date, date]]:
    """The same days as spans with a gap between any two: a year may stand in months that follow each other."""
    merged: list[tuple[date, date]] = []
    for low, high in sorted(spans):
        if merged and (low - merged[-1][1]).days <= 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def _within(
    first: sql.Composable, last: sql.Composable, span: tuple[date, date], parameters: Parameters
) -> sql.Composable:
    low, high = (parameters.bind(day, "date") for day in span)
    return sql.SQL("{} >= {} AND {} <= {}").format(first, low, last, high)


def _meets(
    first: sql.Composable, last: sql.Composable, span: tuple[date, date], parameters: Parameters
) -> sql.Composable:
    low, high = (parameters.bind(day, "date") for day in span)
    return sql.SQL("{} >= {} AND {} <= {}").format(last, low, first, high)


def _any(conditions: list[sql.Composable]) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))
