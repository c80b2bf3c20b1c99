"""Texts that people give as values: which PostgreSQL can hold, and how days and times are written (ISO 8601)."""

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = "[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?"
ZONE = "(?:Z|[-+][0-9]{2}:[0-9]{2})"
"""Regular expressions; whether a text is a day of the calendar is checked by reading it."""


def is_storable(text: str) -> bool:
    """Whether PostgreSQL's type text can hold it: it has no U+0000 and no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
