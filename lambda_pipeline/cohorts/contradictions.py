"""Which comparisons of one criterion exclude each other, such as more than 5 and less than 3.

Every comparison leaves a column some values: an interval, a list, or none but missing. All of a criterion must hold, so
where nothing is left no row can match.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from lambda_pipeline.cohorts.days import days_of, is_date
from lambda_pipeline.cohorts.definition import Between, Compare, Comparison, Contains, In, InCodeSet, Missing, Valued
from lambda_pipeline.cohorts.document import json_path
from lambda_pipeline.errors import CohortFinding
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views.view import Column

Placed = tuple[Comparison, tuple[int | str, ...]]


@dataclass(slots=True)
class _Left:
    """The values that comparisons leave to a column; bounds are (value, whether the value itself is left)."""

    low: tuple[Any, bool] | None = None
    high: tuple[Any, bool] | None = None
    listed: set[Any] | None = None
    wanted_missing: set[bool] = field(default_factory=set)
    excluded: frozenset[Any] = frozenset()

    def nothing(self) -> bool:
        """Whether no value is left, nor a missing one."""
        if len(self.wanted_missing) > 1:
            return True
        if self.listed is not None:
            return not any(self._inside(value) for value in self.listed - self.excluded)
        if self.low is None or self.high is None:
            return False
        (low, low_in), (high, high_in) = self.low, self.high
        return bool(low > high) or (low == high and (not (low_in and high_in) or low in self.excluded))

    def _inside(self, value: Any) -> bool:
        above = self.low is None or value > self.low[0] or (self.low[1] and value == self.low[0])
        below = self.high is None or value < self.high[0] or (self.high[1] and value == self.high[0])
        return above and below

    def raise_low(self, value: Any, *, included: bool) -> None:
        """At least, or more than, this value."""
        if self.low is None or (value, not included) > (self.low[0], not self.low[1]):
            self.low = value, included

    def lower_high(self, value: Any, *, included: bool) -> None:
        """At most, or less than, this value."""
        if self.high is None or (value, included) < self.high:
            self.high = value, included

    def keep(self, values: Iterable[Any]) -> None:
        """One of these values."""
        self.listed = set(values) if self.listed is None else self.listed & set(values)


def find_contradictions(placed: Sequence[Placed], columns: Mapping[str, Column]) -> Iterator[CohortFinding]:
    """What no row can match, and what says nothing new.

    Args:
        placed: comparisons that fit their columns, with their places.
        columns: of the view, by name.
    """
    left: dict[str, _Left] = {}
    for number, (comparison, place) in enumerate(placed):
        if any(comparison == other for other, _ in placed[:number]):
            yield CohortFinding("repeated-comparison", json_path(place), "it stands twice", warning=True)
            continue
        for part in _parts(comparison):
            kept = left.setdefault(part.column, _Left())
            if kept.nothing():
                continue
            _take(kept, part, columns[part.column])
            if kept.nothing():
                reason = f"column {part.column}: the comparisons before it exclude this one"
                yield CohortFinding("contradiction", json_path(place), reason, "no row can match")


def _parts(comparison: Comparison) -> Iterator[Comparison]:
    """The comparison, and the equality that its unit is; nothing for one that a missing value fulfils, too."""
    if isinstance(comparison, Valued) and comparison.or_missing:
        return
    yield comparison
    if isinstance(comparison, Valued) and comparison.unit is not None:
        yield Compare(column=comparison.unit.column, operator="eq", value=comparison.unit.code)


def _take(kept: _Left, comparison: Comparison, column: Column) -> None:
    """Take away what a comparison does not leave."""
    kept.wanted_missing.add(isinstance(comparison, Missing) and comparison.operator == "is_null")
    match comparison:
        case Missing() | Contains() | InCodeSet():
            return
        case Compare() | Between() | In() if is_date(column):
            _take_days(kept, comparison)
        case In():
            kept.keep(_comparable(value, column) for value in comparison.value)
        case Between():
            low, high = (_comparable(value, column) for value in comparison.value)
            kept.raise_low(low, included=True)
            kept.lower_high(high, included=True)
        case Compare(operator="eq"):
            kept.keep([_comparable(comparison.value, column)])
        case Compare(operator="ne"):
            kept.excluded |= {_comparable(comparison.value, column)}
        case Compare(operator=operator):
            value = _comparable(comparison.value, column)
            step = type_family(column.type) is TypeFamily.INTEGER and operator in ("gt", "lt")
            if operator in ("gt", "ge"):
                kept.raise_low(value + 1 if step else value, included=operator == "ge" or step)
            else:
                kept.lower_high(value - 1 if step else value, included=operator == "le" or step)


def _take_days(kept: _Left, comparison: Compare | Between | In) -> None:
    """Days that a date may stand for must all be left, so each comparison bounds both ends."""
    match comparison:
        case Between():
            kept.raise_low(days_of(str(comparison.value[0]))[0], included=True)
            kept.lower_high(days_of(str(comparison.value[1]))[1], included=True)
        case In():
            spans = [days_of(str(value)) for value in comparison.value]
            kept.raise_low(min(low for low, _ in spans), included=True)
            kept.lower_high(max(high for _, high in spans), included=True)
        case Compare(operator="ne"):
            return
        case Compare(operator=operator):
            low, high = days_of(str(comparison.value))
            if operator in ("ge", "gt", "eq"):
                kept.raise_low(_after(high) if operator == "gt" else low, included=True)
            if operator in ("le", "lt", "eq"):
                kept.lower_high(_before(low) if operator == "lt" else high, included=True)


def _after(day: date) -> date:
    return day + timedelta(1) if day < date.max else day


def _before(day: date) -> date:
    return day - timedelta(1) if day > date.min else day


def _comparable(value: Any, column: Column) -> Any:
    """Values such that they compare as PostgreSQL compares them: text by its bytes, numbers by value."""
    if isinstance(value, bool):
        return value
    if type_family(column.type) is TypeFamily.TEXT:
        return str(value).encode()
    return Decimal(value) if isinstance(value, int | Decimal) else str(value)
