"""What nobody should send, and some things that everybody does."""

import os
import random
import string
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from lambda_pipeline.errors import LambdaPipelineError

SEED = 20_260_401
TIMES = int(os.environ.get("DOORS_TIMES", "1"))

TEXTS = [
    "", " ", "'", '"', "\\", "%", "%s", "%(a)s", "%%", "$1", ":a", ";", "--", "/*", "\x00", "\ud800", "\udfff",
    "a\ud800b",
    "\u202e", "é", "e\u0301", "🜁", "\n", "\r\n", "\t", "\x7f", "\x1b[31m", "\ufeff", "\uffff", "\U0010ffff", "İ", "ß",
    "\u017f",
    "NULL", "null", "None", "NaN", "Infinity", "-Infinity", "1e400", "1e-400", "1E+9999", "-0", "0.0", "+1", ".5", "5.",
    "1" * 400, "-" * 50, "true", "True", "t", "[]", "[", '["a"', '["a", 1]', "{}", "[null]", "[[1]]", "0001-01-01",
    "9999-12-31", "10000-01-01", "0000", "1980", "1980-02", "1980-02-30", "1980-2-3", "1/1/1980",
    "2026-01-31T25:00:00Z",
    "2026-01-31T23:59:60Z", "9999-12-31T23:59:59.999999999-14:00", "0001-01-01T00:00:00+14:00", "2026-01-31T08:00:00",
    "2026-01-31T08:00:00Z", "24:00:00", "infinity", "now", "epoch", "../../etc/passwd", "/dev/zero", "a" * 100_000,
    "' OR 1=1 --", "'; DROP TABLE hfj_resource; --", "1; SELECT pg_sleep(9)", "0x10", "1_000", "١٢٣", "1,2", "a,b,,c",
    ",",
    "pg_sleep(9)", "patients", "measured", "gender", "male", "a", "1970-01-01", "(1, 2)", "<a>", "\\x00", "\\u0000",
    "E'\\'",
    "\u2028", "Patient/a", "Patient.name.given", "{{relation}}", "{0}", "${HOME}", "`id`", "lp:filter:0", "_id",
    "id,gender",
]  # fmt: skip
"""Texts; the last ones are usual."""
VALUES: list[Any] = [
    *TEXTS, None, True, False, 0, 1, -1, 2**31 - 1, 2**31, 2**63, -(2**63) - 1, 2**200, 10**5_000, 0.1, 1e308, 5e-324,
    -0.0,
    float("nan"), float("inf"), Decimal("NaN"), Decimal("1E+5000"), Decimal("1E-20000"), Decimal("sNaN"), Decimal("-0"),
    Decimal("180.50"), b"\x00", b"", [], [[]], [None], ["a", 1], ["\ud800"], ["a", "b"], {}, {"a": 1}, {1: 2}, date.min,
    date.max, date(1970, 1, 1), time.max, time(1, tzinfo=UTC), datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), timedelta.max, object(),
    range(3),
    ("a",), {1}, 1j, ["a"] * 1_000, [Decimal("NaN")], [True, "true"], slice(1), type, lambda: 1, NotImplemented, ...,
    pd.NaT, pd.NA, pd.Timestamp.min, pd.Timestamp("2026-01-01T08:00Z"), pd.Timedelta.max, np.nan, np.int64(1),
    np.float64(0.1),
    np.bool_(True), np.datetime64("NaT"), np.array([1, 2]), pd.Series(["a"]), pd.Timestamp("2026-01-01"), [pd.NaT],
    np.str_("a"),
]  # fmt: skip
"""Values of Python, of which hardly one fits anywhere."""


def chooser(door: str, part: int) -> random.Random:
    """Choices of one part of one door: the same in every run."""
    return random.Random(f"{SEED} {door} {part}")


def parts(cases: int, size: int) -> list[int]:
    """The parts of `cases` cases, `size` of them in each: parameters of a test, which xdist spreads."""
    return list(range(-(-cases * TIMES // size)))


def expect_code(error: LambdaPipelineError) -> None:
    """Every error that a door ends with has a code of its own."""
    assert error.code != "error", error
    assert str(error).strip()


def text(choose: random.Random) -> str:
    """A hostile text: one of the list, two of them together, one that was cut, or letters at random."""
    kind = choose.randrange(5)
    if kind == 0:
        return choose.choice(TEXTS) + choose.choice(TEXTS)
    if kind == 1:
        whole = choose.choice(TEXTS)
        return whole[choose.randrange(len(whole) + 1) :][:50]
    if kind == 2:
        return "".join(choose.choices(string.printable + "äß🜁\x00\ud800", k=choose.randrange(12)))
    return choose.choice(TEXTS)


def value(choose: random.Random) -> Any:
    """A hostile value."""
    return text(choose) if choose.random() < 0.3 else choose.choice(VALUES)


def json_value(choose: random.Random, depth: int = 0) -> Any:
    """A value that JSON can hold, with its lone surrogates and huge numbers."""
    kind = choose.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return text(choose)
    if kind < 6:
        return choose.choice([None, True, False, 0, -1, 2**31, 2**64, 10**400, 0.1, 1e308, "", "a", [], {}])
    if kind < 8:
        return [json_value(choose, depth + 1) for _ in range(choose.randrange(4))]
    return {text(choose): json_value(choose, depth + 1) for _ in range(choose.randrange(4))}


def mutated(choose: random.Random, document: Any, times: int = 1) -> Any:
    """A copy of a JSON document in which some places hold something else, or nothing, or twice as much."""
    for _ in range(times):
        places = list(_places(document, ()))
        if not places:
            return json_value(choose)
        path = choose.choice(places)
        document = _replaced(choose, document, path)
    return document


def _places(document: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, item in items:
        yield from _places(item, (*path, key))


def _replaced(choose: random.Random, document: Any, path: tuple[Any, ...]) -> Any:
    key, *rest = path
    copy = dict(document) if isinstance(document, dict) else list(document)
    if rest:
        copy[key] = _replaced(choose, copy[key], tuple(rest))
        return copy
    old, kind = copy[key], choose.randrange(8)
    if kind == 0:
        del copy[key]
    elif kind == 1 and isinstance(copy, dict):
        copy[text(choose)] = copy.pop(key)
    elif kind == 2 and isinstance(copy, list):
        copy += [old] * choose.choice([1, 3])
    elif kind == 3:
        copy[key] = [old]
    elif kind == 4 and isinstance(old, str):
        cut = choose.randrange(len(old) + 1)
        copy[key] = old[:cut] + text(choose) + old[cut:]
    elif kind == 5:
        copy[key] = {text(choose): old}
    elif kind == 6:
        for _ in range(choose.choice([1, 3, 50, 150])):
            old = [old] if choose.random() < 0.5 else {"select": old}
        copy[key] = old
    else:
        copy[key] = json_value(choose)
    return copy
