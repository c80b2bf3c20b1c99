"""Texts that people give as values: which PostgreSQL can hold, and how days and times are written (ISO 8601)."""

from datetime import date

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = "[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?"
ZONE = "(?:Z|[-+][0-9]{2}:[0-9]{2})"
"""Regular expressions; whether a text is a day of the calendar is checked by reading it."""


def is_storable(text: str) -> bool:
    """Whether PostgreSQL's type text can hold it: it has no U+0000 and no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_missing(value: object) -> bool:
    """Whether it is the date or time that stands for none in a data frame (`pandas.NaT`), which equals nothing."""
    return isinstance(value, date) and bool(value != value)  # noqa: PLR0124
