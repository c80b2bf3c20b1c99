"""What rows are grouped by: a column as it is, or the year, the month or the age band of a date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from psycopg import sql

from lambda_pipeline.cohorts.days import day_number, first_day, is_date, last_day, years_between
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.serving.service import check_columns
from lambda_pipeline.views.view import Column, View

AGE_BANDS = (18, 45, 65)
"""The lowest age of each band but the first, where a question states none."""
UNKNOWN = "unknown"
"""The band of those whose birth date is missing, or does not decide it."""
_OLDEST = 1_000
_NO_GROUPS = frozenset({TypeFamily.JSON, TypeFamily.ARRAY, TypeFamily.BYTEA, TypeFamily.FLOAT, TypeFamily.OTHER})


class Part(StrEnum):
    """What of a date rows are grouped by."""

    YEAR = "year"
    MONTH = "month"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Ages:
    """How ages are counted.

    Attributes:
        bands: the lowest age of each band but the first.
        at: the day on which somebody has the age.
    """

    bands: tuple[int, ...]
    at: date

    def __post_init__(self) -> None:
        if not all(type(bound) is int and 0 < bound < _OLDEST for bound in self.bands):
            raise BadRequestError("age bands are whole years from 1 to 999")
        if list(self.bands) != sorted(set(self.bands)):
            raise BadRequestError("age bands must rise")

    @property
    def labels(self) -> list[str]:
        """Names of the bands, such as `18-44`, from the youngest."""
        upper = [f"-{bound - 1}" for bound in self.bands] + ["+"]
        return [f"{low}{high}" for low, high in zip((0, *self.bands), upper, strict=True)]


@dataclass(frozen=True, slots=True)
class Group:
    """One thing that rows are grouped by.

    Attributes:
        column: of the view.
        part: of its date; None for the column as it is.
    """

    column: Column
    part: Part | None

    @property
    def shown(self) -> Column:
        """The column of the answer: a part is called as it was asked for, such as `birth_date:month`."""
        if self.part is None:
            return Column(self.column.name, self.column.type)
        return Column(f"{self.column.name}:{self.part}", "text")

    def value(self, ages: Ages) -> sql.Composable:
        """SQL of the value by which a row is grouped."""
        column = sql.Identifier(self.column.name)
        if self.part is None:
            return column
        if self.part is Part.AGE:
            return _age_band(column, self.column, ages)
        length = sql.Literal(4 if self.part is Part.YEAR else 7)
        # A date that is only a year has no month: it keeps its own value.
        return sql.SQL("left({}, {})").format(_text(column, self.column), length)


def parse_groups(view: View, by: Sequence[str]) -> tuple[Group, ...]:
    """What rows of a view are grouped by.

    Args:
        view: as it is read.
        by: names of columns; of a date also with `:year`, `:month` or `:age`.

    Raises:
        BadRequestError: none at all, one twice, an unknown column or part, a part of what is no date, or a column that
            holds lists or the like.
    """
    if not by:
        raise BadRequestError("nothing to count by", hint=f"columns of {view.name}, such as {view.columns[0].name}")
    if len(set(by)) != len(by):
        raise BadRequestError("something to count by is named twice")
    return tuple(_parse(view, name) for name in by)


def _parse(view: View, text: str) -> Group:
    name, colon, part = text.partition(":")
    (column,) = check_columns(view, [name])
    if colon:
        if part not in list(Part):
            raise BadRequestError(f"{name} cannot be counted by {part[:40]!r}", hint=f"parts: {', '.join(Part)}")
        if not is_date(column):
            raise BadRequestError(f"column {name} is no date, so it has no {part}")
        return Group(column, Part(part))
    if type_family(column.type) in _NO_GROUPS:
        raise BadRequestError(f"column {name} is of type {column.type}, which rows are not counted by")
    return Group(column, None)


def _text(value: sql.Composable, column: Column) -> sql.Composable:
    match type_family(column.type):
        case TypeFamily.TIMESTAMPTZ:
            return sql.SQL("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD')").format(value)
        case TypeFamily.DATE | TypeFamily.TIMESTAMP:
            return sql.SQL("to_char({}, 'YYYY-MM-DD')").format(value)
        case _:
            return value


def _age_band(value: sql.Composable, column: Column, ages: Ages) -> sql.Composed:
    at = sql.Literal(int(ages.at.strftime("%Y%m%d")))
    lowest = years_between(day_number(last_day(value, column)), at)
    highest = years_between(day_number(first_day(value, column)), at)
    bounds = (0, *ages.bands, _OLDEST)
    cases = [
        sql.SQL("WHEN {} >= {} AND {} < {} THEN {}").format(
            lowest, sql.Literal(low), highest, sql.Literal(high), sql.Literal(label)
        )
        for low, high, label in zip(bounds, bounds[1:], ages.labels, strict=False)
    ]
    return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(cases), sql.Literal(UNKNOWN))
