"""Cron expressions of five fields, as Dagster reads them: what would not load there is refused before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_ALIASES = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, at most."""
_PART = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>[0-9]{1,4}))?")
_NTH = re.compile(r"(?P<weekday>[a-z0-9]+)#[1-5]|l(?P<last>[0-7])")
"""FRI#3, the third Friday of the month, and L5, the last one."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    lowest: int
    highest: int
    words: Mapping[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        number = int(text) if text.isdecimal() else self.words.get(text, -1)
        if not self.lowest <= number <= self.highest:
            raise ValueError(f"not a cron expression: its {self.name} is not within {self.lowest} to {self.highest}")
        return number


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of the month", 1, 31)
_MONTH = _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
_WEEKDAY = _Field("day of the week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)})


def check_cron(text: str) -> None:
    """Check a cron expression.

    Raises:
        ValueError: a field cannot be read or is out of its range, or no day is ever meant, such as 31 April.
    """
    if text in _ALIASES:
        return
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError("not a cron expression of five fields, such as 0 2 * * *")
    minute, hour, day, month, weekday = fields
    _numbers(_MINUTE, minute)
    _numbers(_HOUR, hour)
    # Every month has a last day, and a first one.
    days = _numbers(_DAY, "*" if day == "?" else ",".join("1" if part == "l" else part for part in day.split(",")))
    months = _numbers(_MONTH, month)
    _check_weekday("*" if weekday == "?" else weekday)
    if weekday in {"*", "?"} and all(day > _LONGEST[month - 1] for month in months for day in days):
        raise ValueError("a cron expression that never comes true: its months have no such day")


def _check_weekday(text: str) -> None:
    nth = [_NTH.fullmatch(part) for part in text.split(",")]
    if not all(nth):
        _numbers(_WEEKDAY, text)
    for found in filter(None, nth):
        _WEEKDAY.number(found["weekday"] or found["last"])


def _numbers(place: _Field, text: str) -> set[int]:
    return set().union(*(_range(place, part) for part in text.split(",")))


def _range(place: _Field, part: str) -> set[int]:
    found = _PART.fullmatch(part)
    if found is None or (found["first"] == "*" and found["last"]):
        raise ValueError(f"not a cron expression: its {place.name} cannot be read")
    step = int(found["step"] or 1)
    if not 1 <= step <= place.highest:
        raise ValueError(f"not a cron expression: the step of its {place.name} is not within 1 to {place.highest}")
    if found["first"] == "*":
        return set(range(place.lowest, place.highest + 1, step))
    first = place.number(found["first"])
    last = place.number(found["last"]) if found["last"] else place.highest if found["step"] else first
    if last < first:  # 22-4 and FRI-MON go over the end
        return set([*range(first, place.highest + 1), *range(place.lowest, last + 1)][::step])
    return set(range(first, last + 1, step))
