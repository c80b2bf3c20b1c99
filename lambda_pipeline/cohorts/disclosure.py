"""Disclosure control: small counts are not shown, nor others from which a small one could be computed.

A count from 1 to below the limit is shown as `<11`. Where a difference of shown counts would be such a number, one of
them is `hidden`; a hidden count may be of any size. docs/cohorts.md says what this protects from, and what not: two
questions that differ a little are compared by nobody.
"""

from collections.abc import Sequence
from dataclasses import replace

from lambda_pipeline.cohorts.answer import CohortAnswer
from lambda_pipeline.cohorts.counts import Cell, Count, LeftOut, Step
from lambda_pipeline.settings import Settings

HIDDEN = "hidden"
MIN_CELL = 11
"""The limit of jobs where the settings have none."""


def limit_of_jobs(settings: Settings) -> int:
    """The lowest count above 0 that a job shows; 0 where the settings let it show all."""
    return MIN_CELL if settings.disclosure_min_cell is None else settings.disclosure_min_cell


def protect(answer: CohortAnswer, min_cell: int) -> CohortAnswer:
    """The same answer without small counts, and without ids.

    Args:
        answer: with all counts.
        min_cell: the lowest count above 0 that is shown.
    """
    rule = _Limit(min_cell)
    attrition = rule.attrition(answer.attrition)
    return replace(
        answer,
        min_cell=min_cell,
        persons=attrition[-1].remaining,
        attrition=attrition,
        breakdown=rule.breakdown(answer.breakdown),
        left_out=tuple(LeftOut(each.path, each.reason, rule.alone(_number(each.count))) for each in answer.left_out),
        person_ids=None,
    )


def protect_groups(counts: Sequence[int], min_cell: int) -> tuple[list[Count | None], Count]:
    """Counts of groups whose values may tell of a person, and their sum.

    Args:
        counts: of each group, at least 1.
        min_cell: the lowest count that is shown.

    Returns:
        For each group its count, `hidden`, or None where the group itself must not be shown; and the sum.
    """
    rule = _Limit(min_cell)
    cells = rule.cells(counts)
    small = [rule.small(count) for count in counts]
    if any(cell == HIDDEN and is_small for cell, is_small in zip(cells, small, strict=True)):
        return [None] * len(counts), rule.alone(sum(counts))
    shown = [None if is_small else cell for cell, is_small in zip(cells, small, strict=True)]
    return shown, rule.alone(sum(counts))


class _Limit:
    def __init__(self, min_cell: int) -> None:
        self.min_cell = min_cell

    def small(self, count: int) -> bool:
        return 0 < count < self.min_cell

    def alone(self, count: int) -> Count:
        """A count from which no other one can be computed."""
        return f"<{self.min_cell}" if self.small(count) else count

    def attrition(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        remaining = [_number(step.remaining) for step in steps]
        shown = self._remaining(remaining)
        numbers = [count for count in shown if isinstance(count, int)]
        first = next((number for number, step in enumerate(steps) if step.excluded_alone is not None), len(steps)) - 1
        protected = []
        for number, step in enumerate(steps):
            before = shown[number - 1] if number else shown[0]
            both = isinstance(before, int) and isinstance(shown[number], int)
            alone = step.excluded_alone
            if alone is not None:
                alone = self._excluded(_number(alone), remaining[first], shown[first], numbers)
            protected.append(Step(step.name, shown[number], step.lost if both else HIDDEN, alone))
        return tuple(protected)

    def _remaining(self, remaining: Sequence[int]) -> list[Count]:
        """From the last, which is the answer, upwards: what differs by little from the next that is shown is hidden."""
        shown: list[Count] = []
        after: int | None = None
        for count in reversed(remaining):
            if self.small(count):
                shown.append(self.alone(count))
            elif after is not None and self.small(count - after):
                shown.append(HIDDEN)
            else:
                shown.append(count)
                after = count
        return shown[::-1]

    def _excluded(self, alone: int, asked: int, asked_shown: Count, numbers: list[int]) -> Count:
        """A rule's own count, of those whom the rules were asked about; adds to `numbers` what the shown one tells."""
        kept = asked - alone
        if self.small(alone):
            return self.alone(alone)
        if not isinstance(asked_shown, int) or self.small(kept) or any(self.small(abs(kept - n)) for n in numbers):
            return HIDDEN
        numbers.append(kept)
        return alone

    def breakdown(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        counts = [_number(cell.persons) for cell in cells]
        shown = self.cells(counts)
        return tuple(Cell(cell.sex, cell.age_band, count) for cell, count in zip(cells, shown, strict=True))

    def cells(self, counts: Sequence[int]) -> list[Count]:
        """Cells whose sum is known: so many are hidden that every small one may be any number below the limit."""
        shown = [self.alone(count) for count in counts]
        if self.small(sum(counts)) or not any(map(self.small, counts)):
            return shown
        others = sorted((count, place) for place, count in enumerate(counts) if not self.small(count))
        slack = sum(count - 1 for count in counts if self.small(count))
        for count, place in others:
            shown[place] = HIDDEN
            slack += count - self.min_cell
            if slack >= self.min_cell - 2:
                return shown
        # Even all others hidden would tell something: the labels then say nothing about sizes.
        return [HIDDEN] * len(shown)


def _number(count: Count) -> int:
    assert isinstance(count, int)
    return count
