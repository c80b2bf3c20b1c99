"""The counts that an answer consists of: lines of the attrition, cells of the breakdown, what was left out.

A count that is not shown, since it is small or would tell a small one (`disclosure`), is a text instead of a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Count = int | str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the attrition.

    Attributes:
        name: of the rule; of the first lines what they count.
        remaining: persons after this line.
        lost: persons that the line before had and this one has not.
        excluded_alone: persons whom this rule excludes, whatever the other rules say, among those with an index; None
            where the line is no rule.
    """

    name: str
    remaining: Count
    lost: Count
    excluded_alone: Count | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """Persons of one sex and age band.

    Attributes:
        sex: as the person view has it; None where it is missing.
        age_band: such as `18-44`; `unknown` where the birth date does not decide it; None where no ages are counted.
        persons: how many.
    """

    sex: str | None
    age_band: str | None
    persons: Count


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a criterion could not compare.

    Attributes:
        path: of the criterion in the definition.
        reason: `other-unit`, `undecided-date`, `undecided-age` or `undated-index`.
        count: rows; persons for `undecided-age`.
    """

    path: str
    reason: str
    count: Count

    def __str__(self) -> str:
        return f"{self.path}: {shown(self.count)} {LEFT_OUT[self.reason]}"


LEFT_OUT: Mapping[str, str] = {
    "other-unit": "rows have a value in another unit and were not compared",
    "undecided-date": "rows have no date, or one that does not decide whether they match; they do not",
    "undecided-age": "persons have no birth date, or one that does not decide their age; they do not match",
    "undated-index": "rows without a date cannot be the index",
}
"""Reason -> what the count means, for people."""


def shown(count: Count | None) -> str:
    """A count for people; empty where there is none."""
    if count is None:
        return ""
    return f"{count:,}" if isinstance(count, int) else count
