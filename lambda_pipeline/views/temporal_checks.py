"""SQL that lets FHIR's dates and times pass and fails on every other text: the rules of `primitives`, in PostgreSQL.

PostgreSQL reads more than FHIR allows: `now` and `today` would differ between the layers, and `infinity`, BC or the
year 10000 would break every reader that uses Python. A text that is not FHIR therefore fails with SQLSTATE 22007 or
22008, and its resource cannot be read. All fragments name their text several times, which must be cheap.
"""

from lambda_pipeline.views import primitives

USUAL = (
    "____-__-__", "____-__-__T__:__:__Z", "____-__-__T__:__:__-0_:__", "____-__-__T__:__:__+0_:__",
    "____-__-__T__:__:__.%Z", "____-__-__T__:__:__.%-0_:__", "____-__-__T__:__:__.%+0_:__",
)  # fmt: skip
"""The usual notations: a short regular expression and a cast check these four times faster than the exact pattern."""

FIRST_HELD, LAST_HELD = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"

_TIME = f"T{primitives.CLOCK}"
COLUMN_PATTERNS = {
    "date": {"date": primitives.DAY, "dateTime": f"{primitives.DAY}(?:{_TIME}{primitives.ZONE}?)?"},
    "timestamp": {"dateTime": f"{primitives.DAY}{_TIME}{primitives.ZONE}?"},
    "timestamptz": {"dateTime": f"{primitives.DAY}{_TIME}{primitives.ZONE}"},
}
"""What each type of column takes from a date or dateTime; an instant always fits."""


def checked(text: str, fhir_type: str) -> str:
    """The text itself, if it is a value of the FHIR type."""
    valid = _matches(text, primitives.TEMPORAL_PATTERNS[fhir_type])
    if fhir_type != "time":
        usual = USUAL[:1] if fhir_type == "date" else USUAL[1:] if fhir_type == "instant" else USUAL
        valid = f"CASE WHEN {_is_usual(text, usual)} THEN {text}::timestamptz IS NOT NULL ELSE {valid} END"
    return f"CASE WHEN {valid} THEN {text} ELSE {_failure(text, 'date')}::text END"


def moment(text: str, fhir_type: str, column_type: str) -> str:
    """A whole date or dateTime as a date or timestamp; docs/views.md has the table of what fits which column.

    Args:
        text: SQL text.
        fhir_type: `date`, `dateTime` or `instant`.
        column_type: `date`, `timestamp` or `timestamptz`, perhaps with a precision.
    """
    family = column_type.partition("(")[0]
    pattern = COLUMN_PATTERNS[family].get(fhir_type, primitives.TEMPORAL_PATTERNS["instant"])
    failed = _failure(text, column_type)
    if family == "date":
        usual = _is_usual(text, USUAL[:1] if fhir_type == "date" else USUAL)
        day = f"left({text}, 10)::date"
        whole = f"CASE WHEN {usual} THEN {text}::timestamptz IS NOT NULL ELSE {_matches(text, pattern)} END"
        return f"CASE WHEN {whole} THEN {day} ELSE {failed} END"
    zone = f" || CASE WHEN {text} ~ '{primitives.ZONE}$' THEN '' ELSE 'Z' END" if family == "timestamp" else ""
    usual, unusual = _cast(text, column_type), _cast(text + zone, column_type)
    held = f"CASE WHEN {unusual} BETWEEN '{FIRST_HELD}' AND '{LAST_HELD}' THEN {unusual} ELSE {failed} END"
    return (
        f"CASE WHEN {_is_usual(text, USUAL[1:])} THEN {usual}"
        f" WHEN {_matches(text, pattern)} THEN {held} ELSE {failed} END"
    )


def time_of_day(text: str, column_type: str) -> str:
    """A FHIR time as SQL `time`; a leap second or fraction that rounds to 24:00:00 fails, Python cannot hold it."""
    value, failed = f"({text})::{column_type}", _failure(text, column_type)
    held = f"CASE WHEN {value} < '24:00:00' THEN {value} ELSE {failed} END"
    return f"CASE WHEN {_matches(text, primitives.TEMPORAL_PATTERNS['time'])} THEN {held} ELSE {failed} END"


def _cast(text: str, column_type: str) -> str:
    if column_type.startswith("timestamptz"):
        return f"({text})::{column_type}"
    return f"(({text})::timestamptz AT TIME ZONE 'UTC')::{column_type}"


def _is_usual(text: str, shapes: tuple[str, ...]) -> str:
    likes = " OR ".join(f"{text} LIKE '{shape}'" for shape in shapes)
    digits_between = f"{text} !~ '[^0-9].?[^0-9]' AND {text} COLLATE \"C\" BETWEEN '0002' AND '9999'"
    return f"({likes}) AND {digits_between} AND {text} NOT LIKE '%T24%'"


def _matches(text: str, pattern: str) -> str:
    return f"{text} ~ '^{pattern}$'"


def _failure(text: str, column_type: str) -> str:
    """An expression that fails with SQLSTATE 22007, or is NULL when the text is NULL; the message has no value."""
    return f"('invalid' || left({text}, 0))::{column_type}"
