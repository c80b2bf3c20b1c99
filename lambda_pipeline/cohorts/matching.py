"""Which rows match a criterion, over its rows `v` and the candidates `e`; and which ones it cannot decide.

A row matches if all comparisons and the window hold on every day that the dates involved may stand for. A row that
could match, but does not for certain, is left out and counted; so is a row whose number has another unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from lambda_pipeline.cohorts.comparisons import Condition
from lambda_pipeline.cohorts.definition import Window

_Day = Literal["_first", "_last"]


@dataclass(frozen=True, slots=True)
class Matching:
    """The comparisons and the window of one criterion, or of the index.

    Attributes:
        conditions: all must hold.
        window: days relative to the index; None for any day.
        whole_days: whether only rows with a whole day match, since days are counted.
    """

    conditions: Sequence[Condition]
    window: Window | None = None
    whole_days: bool = False

    def sure(self) -> sql.Composable:
        """The row matches."""
        return _all([*(each.sure for each in self.conditions), *self._days_sure()])

    def other_unit(self, candidates: sql.Composable) -> sql.Composable | None:
        """The row is left out since its value has another unit; None where no comparison names one.

        Args:
            candidates: SQL of what `e` is taken from, or of the persons of the rows where there are no candidates.
        """
        units = [each for each in self.conditions if each.other_unit is not None]
        if not units:
            return None
        parts = [each.possible or each.sure for each in self.conditions if each.other_unit is None]
        others = [each.other_unit for each in units if each.other_unit is not None]
        if len(units) > 1:
            parts += [sql.SQL("(({}) OR ({}))").format(each.sure, each.other_unit) for each in units]
        parts.append(sql.SQL("({})").format(sql.SQL(" OR ").join(others)))
        return _all([*parts, self._exists(candidates, self._near())])

    def undecided(self, candidates: sql.Composable) -> sql.Composable | None:
        """The row may match, but not for certain; None where nothing depends on a date."""
        dated = [*(each.sure for each in self.conditions if each.possible is not None), *self._days_sure()]
        if not dated:
            return None
        possible = [each.possible or each.sure for each in self.conditions]
        unsure = sql.SQL("NOT coalesce({}, FALSE)").format(_all(dated))
        return _all([*possible, self._exists(candidates, [*self._near(), unsure])])

    def _days_sure(self) -> list[sql.Composable]:
        parts = [] if self.window is None else _bounds(self.window, row=("_first", "_last"), index=("_last", "_first"))
        return [*parts, sql.SQL("v._first = v._last")] if self.whole_days else parts

    def _near(self) -> list[sql.Composable]:
        if self.window is None:
            return []
        inside = _all(_bounds(self.window, row=("_last", "_first"), index=("_first", "_last")))
        return [sql.SQL("(v._first IS NULL OR {})").format(inside)]

    def _exists(self, candidates: sql.Composable, parts: Sequence[sql.Composable]) -> sql.Composable:
        return sql.SQL("EXISTS (SELECT 1 FROM {} AS e WHERE {})").format(
            candidates, _all([sql.SQL("e._person = v._person"), *parts])
        )


def _bounds(window: Window, *, row: tuple[_Day, _Day], index: tuple[_Day, _Day]) -> list[sql.Composable]:
    """The window's ends, each between one end of the row's days and one end of the index's days."""
    parts: list[sql.Composable] = []
    if window.after is not None:
        parts.append(sql.SQL(f"v.{row[0]} >= e.{index[0]} + {{}}").format(sql.Literal(window.after)))
    if window.before is not None:
        parts.append(sql.SQL(f"v.{row[1]} <= e.{index[1]} + {{}}").format(sql.Literal(window.before)))
    return parts


def _all(parts: Sequence[sql.Composable]) -> sql.Composable:
    # No brackets: whoever writes an OR puts it into some.
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("TRUE")
