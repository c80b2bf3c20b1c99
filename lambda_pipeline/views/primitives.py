"""Which texts are values of a FHIR primitive type: one rule for constants, literals, filters and generated SQL.

The patterns are those of FHIR R4 to R5 (https://hl7.org/fhir/R5/datatypes.html#primitive), with two leniencies of HAPI:
a dateTime may end after its minutes, and may have a time without a zone. The patterns know the calendar: the 30th of
February is not a date. What a partial date stands for is the subject of `temporal`.
"""

import re
from collections.abc import Mapping

YEAR = "(?!0000)[0-9]{4}"
YEAR_OR_MONTH = f"{YEAR}(?:-(?:0[1-9]|1[0-2]))?"
LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
DAY = (
    f"(?:{YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{LEAP_YEAR}-02-29)"
)
ZONE = "(?:Z|[-+](?:0[0-9]|1[0-3]):[0-5][0-9]|[-+]14:00)"
MINUTES = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
SECONDS = "(?:[0-5][0-9]|60)(?:[.][0-9]+)?"
CLOCK = f"{MINUTES}(?::{SECONDS})?"

TEMPORAL_PATTERNS: Mapping[str, str] = {
    "date": f"(?:{YEAR_OR_MONTH}|{DAY})",
    "dateTime": f"(?:{YEAR_OR_MONTH}|{DAY}(?:T{CLOCK}{ZONE}?)?)",
    "instant": f"{DAY}T{MINUTES}:{SECONDS}{ZONE}",
    "time": f"{MINUTES}:{SECONDS}",
}
"""FHIR's dates and times as regular expressions that Python and PostgreSQL read alike; without anchors."""

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        **TEMPORAL_PATTERNS,
        "code": r"[^\s]+( [^\s]+)*",
        "id": r"[A-Za-z0-9.-]{1,64}",
        "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
        "uuid": r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
        "uri": r"\S*",
        "url": r"\S*",
        "canonical": r"\S*",
    }.items()
}

_EXAMPLES: Mapping[str, str] = {
    "date": "1980, 1980-06 or 1980-06-30",
    "dateTime": "2026, 2026-01, 2026-01-31 or 2026-01-31T08:00:00Z",
    "instant": "2026-01-31T08:00:00Z",
    "time": "08:30:00",
}


def primitive_problem(text: str, fhir_type: str) -> str | None:
    """Check a text against the rule of a FHIR primitive type.

    Args:
        text: the text; the message does not repeat it.
        fhir_type: name of the type; a type without a rule of its own (`string`) accepts every text.

    Returns:
        Why the text is not a value of the type; None if it is one.
    """
    pattern = _PATTERNS.get(fhir_type)
    if pattern is None or pattern.fullmatch(text):
        return None
    example = _EXAMPLES.get(fhir_type)
    article = "an" if fhir_type[0] in "aeio" else "a"
    return f"the text is not {article} {fhir_type}" + (f", such as {example}" if example else "")
