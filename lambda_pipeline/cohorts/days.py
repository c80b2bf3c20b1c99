"""FHIR's dates as days: which days a text may stand for, in Python and in SQL.

A date of FHIR is a text: `1980`, `1980-02`, `1980-02-29`, or a moment that begins with its day. It stands for an
interval of days, from the first to the last that it may be; a moment stands for its day as written, in the zone in
which it was recorded. docs/cohorts.md says how intervals are compared; the comparisons stand in `comparisons` and
`compile`.
"""

from calendar import monthrange
from datetime import date

from psycopg import sql

from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views.view import Column

_FHIR_DATES = frozenset({"date", "dateTime", "instant"})
_TYPED = frozenset({TypeFamily.DATE, TypeFamily.TIMESTAMP, TypeFamily.TIMESTAMPTZ})


def is_date(column: Column) -> bool:
    """Whether a column's values are days or moments."""
    family = type_family(column.type)
    return family in _TYPED or (family is TypeFamily.TEXT and column.fhir_type in _FHIR_DATES)


def days_of(text: str) -> tuple[date, date]:
    """First and last day of a date of FHIR: `1980-02` gives 1 and 29 February 1980."""
    year, month, day = (int(part) for part in (text + "-0-0").split("-")[:3])
    if not month:
        return date(year, 1, 1), date(year, 12, 31)
    if not day:
        return date(year, month, 1), date(year, month, monthrange(year, month)[1])
    return date(year, month, day), date(year, month, day)


def first_day(value: sql.Composable, column: Column) -> sql.Composed:
    """SQL of the first day that a value may stand for; NULL without a value.

    Args:
        value: SQL of the value.
        column: where it is from, or one of the same type.
    """
    form = "CAST({0} AS date)" if type_family(column.type) in _TYPED else _FIRST
    return sql.SQL(form).format(value)


def last_day(value: sql.Composable, column: Column) -> sql.Composed:
    """SQL of the last day that a value may stand for; NULL without a value."""
    form = "CAST({0} AS date)" if type_family(column.type) in _TYPED else _LAST
    return sql.SQL(form).format(value)


def day_number(day: sql.Composable) -> sql.Composed:
    """SQL of a day as the number YYYYMMDD, from which ages are computed."""
    return sql.SQL("CAST(to_char({}, 'YYYYMMDD') AS integer)").format(day)


def years_between(birth: sql.Composable, day: sql.Composable) -> sql.Composed:
    """SQL of completed years between two days as `day_number` gives them; negative before the birth.

    Somebody born on 29 February completes a year on 1 March, where the year has no 29 February.
    """
    return sql.SQL("CAST(floor(({} - {}) / 10000.0) AS integer)").format(day, birth)


_FIRST = "CAST(left({0} || substr('0000-01-01', length({0}) + 1), 10) AS date)"
_LAST = (
    "CASE length({0}) WHEN 4 THEN CAST({0} || '-12-31' AS date)"
    " WHEN 7 THEN CAST(CAST({0} || '-01' AS date) + interval '1 month' AS date) - 1"
    " ELSE CAST(left({0}, 10) AS date) END"
)
