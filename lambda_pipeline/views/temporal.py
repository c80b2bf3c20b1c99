"""SQL for FHIR's dates and times, which are texts of varying precision: boundaries and comparison.

All fragments take SQL text expressions that are valid FHIR or fail (`temporal_checks`). They evaluate them once, in a
fenced subquery, and use them many times.
"""
# ruff: noqa: S608 (writing SQL is the purpose)

FIRST_MOMENT = "0000-01-01T00:00:00.000"
DATE_LOW = "{t} || substr('0000-01-01', length({t}) + 1)"
DATE_HIGH = (
    "CASE length({t}) WHEN 4 THEN {t} || '-12-31'"
    " WHEN 7 THEN to_char(({t} || '-01')::date + interval '1 month - 1 day', 'YYYY-MM-DD') ELSE {t} END"
)
ZONE = "substring({t} FROM 'T.*(Z|[+-][0-9][0-9]:[0-9][0-9])$')"
"""The zone at the end of a dateTime; NULL when it has none."""


def date_boundary(text: str, *, high: bool) -> str:
    """The first or last day of a date: `1970-06` -> `1970-06-30`."""
    return f"(SELECT {(DATE_HIGH if high else DATE_LOW).format(t='b.t')} FROM (SELECT {text} OFFSET 0) b(t))"


def date_time_boundary(text: str, *, high: bool) -> str:
    """The first or last millisecond of a dateTime or instant, in its own zone.

    A value without zone gets the zone of the earliest (+14:00) or latest (-12:00) place on earth.
    """
    return (
        f"(SELECT {_moment('b.t', 'b.z', high=high)} || coalesce(b.z, '{'-12:00' if high else '+14:00'}')"
        f" FROM (SELECT d.t, {ZONE.format(t='d.t')} FROM (SELECT {text} OFFSET 0) d(t) OFFSET 0) b(t, z))"
    )


def time_boundary(text: str, *, high: bool) -> str:
    """The first or last millisecond of a time: `10:30:00` -> `10:30:00.999`."""
    fill = "00:59:59.999" if high else "00:00:00.000"
    return f"(SELECT left(b.t || substr('{fill}', length(b.t) + 1), 12) FROM (SELECT {text} OFFSET 0) b(t))"


def boundary(text: str, fhir_type: str, precision: int | None, *, high: bool) -> str:
    """The boundary of a value of any type that has one.

    Args:
        text: SQL of the value as text.
        fhir_type: its type.
        precision: see `typed_tree.Boundary`.
        high: whether it is the upper one.
    """
    if fhir_type == "decimal":
        return decimal_boundary(f"({text})::numeric", precision, high=high)
    write = {"date": date_boundary, "time": time_boundary}.get(fhir_type, date_time_boundary)
    return shortened(write(text, high=high), precision)


def decimal_boundary(number: str, precision: int | None, *, high: bool) -> str:
    """Half a unit of the last written decimal place below or above, perhaps rounded further down or up."""
    boundary = f"b.n {'+' if high else '-'} 5 * power(10::numeric, -(scale(b.n) + 1))"
    if precision is not None:
        boundary = f"{'ceil' if high else 'floor'}(({boundary}) * 1e{precision}::numeric) * 1e-{precision}::numeric"
    return f"(SELECT trim_scale({boundary}) FROM (SELECT {number} OFFSET 0) b(n))"


def shortened(boundary: str, length: int | None) -> str:
    """A boundary of a date or time with fewer digits; one that keeps a time keeps its zone."""
    if length is None:
        return boundary
    if length <= len("YYYY-MM-DD"):
        return f"left({boundary}, {length})"
    return f"overlay({boundary} PLACING '' FROM {length + 1} FOR {len(FIRST_MOMENT) - length})"


def _moment(text: str, zone: str, *, high: bool) -> str:
    """The first or last millisecond as `YYYY-MM-DDThh:mm:ss.fff`, without the zone."""
    local = f"left({text}, length({text}) - coalesce(length({zone}), 0))"
    if high:
        day = DATE_HIGH.format(t=text)
        tail = f"substr('0000-00-00T00:59:59.999', length({local}) + 1)"
        return (
            f"CASE WHEN length({text}) <= 10 THEN ({day}) || 'T23:59:59.999'"
            f" WHEN {local} LIKE '%.%' THEN left(rpad({local}, 23, '9'), 23) ELSE {local} || {tail} END"
        )
    return (
        f"CASE WHEN {local} LIKE '%.%' THEN left(rpad({local}, 23, '0'), 23)"
        f" ELSE {local} || substr('{FIRST_MOMENT}', length({local}) + 1) END"
    )


def compare_dates(left: str, operator: str, right: str) -> str:
    """FHIRPath's comparison of dates, dateTimes and instants, each an interval as long as its precision.

    One is before the other if its interval ends before the interval of the other begins; they are equal if the
    intervals are equal; else (`2012 < 2012-03`) the result is NULL. Seconds and their fractions are one precision. Two
    values without zone are compared as written; if only one has a zone, the other may be in any zone.
    """
    low_a, high_a = (_instant("a", "za", "zb", high=high) for high in (False, True))
    low_b, high_b = (_instant("b", "zb", "za", high=high) for high in (False, True))
    return (
        f"(SELECT {_order_of_intervals(operator)}"
        f" FROM (SELECT {low_a}, {high_a}, {low_b}, {high_b}"
        f" FROM (SELECT v.a, v.b, {ZONE.format(t='v.a')}, {ZONE.format(t='v.b')}"
        f" FROM (SELECT {left}, {right} OFFSET 0) v(a, b) OFFSET 0) d(a, b, za, zb) OFFSET 0)"
        f" i(low_a, high_a, low_b, high_b))"
    )


def compare_times(left: str, operator: str, right: str) -> str:
    """FHIRPath's comparison of times, each an interval as long as its precision: `T10` is an hour."""
    low = "({t} || substr('00:00:00', length({t}) + 1))::time"
    high = "(CASE WHEN length({t}) < 8 THEN {t} || substr('00:59:59.999999', length({t}) + 1) ELSE {t} END)::time"
    ends = ", ".join(end.format(t=t) for t in ("v.a", "v.b") for end in (low, high))
    return (
        f"(SELECT {_order_of_intervals(operator)} FROM (SELECT {ends}"
        f" FROM (SELECT {left}, {right} OFFSET 0) v(a, b) OFFSET 0) i(low_a, high_a, low_b, high_b))"
    )


def _order_of_intervals(operator: str) -> str:
    sign = {"=": "= 0", "!=": "<> 0", "<": "< 0", "<=": "<= 0", ">": "> 0", ">=": ">= 0"}[operator]
    return (
        "CASE WHEN i.high_a < i.low_b THEN -1 WHEN i.low_a > i.high_b THEN 1"
        f" WHEN i.low_a = i.low_b AND i.high_a = i.high_b THEN 0 END {sign}"
    )


def _instant(value: str, zone: str, other_zone: str, *, high: bool) -> str:
    """A boundary as timestamptz; both boundaries of a value with seconds are that value."""
    text, own, other = f"d.{value}", f"d.{zone}", f"d.{other_zone}"
    widest = "-12:00" if high else "+14:00"
    local = f"left({text}, length({text}) - coalesce(length({own}), 0))"
    moment = f"CASE WHEN length({local}) >= 19 THEN {local} ELSE {_moment(text, own, high=high)} END"
    return f"(({moment}) || coalesce({own}, CASE WHEN {other} IS NULL THEN 'Z' ELSE '{widest}' END))::timestamptz"
