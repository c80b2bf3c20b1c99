"""What text is a value of a FHIR primitive type: the one validator that filters, parameters, constants and SQL share.

The patterns are those of FHIR R4 (https://hl7.org/fhir/R4/datatypes.html#primitive), with two of HAPI's own leniencies,
which stored bodies show: a dateTime may end after its minutes, and may have a time without a zone. The calendar counts
too: the 30th of February is not a date. What a partial date stands for is in `temporal`.
"""

import re
from collections.abc import Mapping
from datetime import date

_YEAR = "(?:[1-9][0-9]{3}|0[0-9]{2}[1-9]|0[0-9][1-9]0|0[1-9]00)"
_DATE = f"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?)?"
_DAY = f"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_ZONE = "(?:Z|[-+](?:0[0-9]|1[0-3]):[0-5][0-9]|[-+]14:00)"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECONDS = "[0-5][0-9](?:[.][0-9]+)?"

DATE_PATTERNS: Mapping[str, str] = {
    "date": _DATE,
    "dateTime": f"(?:{_DATE}|{_DAY}T{_CLOCK}(?::{_SECONDS})?{_ZONE}?)",
    "instant": f"{_DAY}T{_CLOCK}:{_SECONDS}{_ZONE}",
    "time": f"{_CLOCK}:{_SECONDS}",
}
"""FHIR's dates and times as regular expressions that Python and PostgreSQL read alike; without anchors."""

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        **DATE_PATTERNS,
        "code": r"[^\s]+( [^\s]+)*",
        "id": r"[A-Za-z0-9.-]{1,64}",
        "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
        "uuid": r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
        "uri": r"\S*",
        "url": r"\S*",
        "canonical": r"\S*",
    }.items()
}

EXAMPLES: Mapping[str, str] = {
    "date": "1980, 1980-06 or 1980-06-30",
    "dateTime": "2026, 2026-01, 2026-01-31 or 2026-01-31T08:00:00Z",
    "instant": "2026-01-31T08:00:00Z",
    "time": "08:30:00",
}
"""How to write a date or time, for messages."""


def is_primitive_value(fhir_type: str, text: str) -> bool:
    """Whether the text is a value of this primitive type; True for a type without a rule of its own (`string`)."""
    pattern = _PATTERNS.get(fhir_type)
    if pattern is None:
        return True
    return pattern.fullmatch(text) is not None and (fhir_type not in DATE_PATTERNS or _is_in_calendar(text))


def _is_in_calendar(text: str) -> bool:
    if not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return True
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True
