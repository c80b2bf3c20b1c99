"""The guard's work is bounded by the length of the text, however it is nested."""

import random
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.serving.sql.parse import MAX_DEPTH, MAX_TOKENS

CALLS = 600_000
"""Calls and returns of functions while a text of 10,000 characters is read: about 50 ms without the counting."""

TYPES = [
    "bit", "bool", "char", "character", "date", "decimal", "float8", "int4", "int4range", "interval", "json", "jsonb",
    "map", "numeric", "object", "range", "struct", "text", "time", "timestamptz", "uuid", "varchar", "xml",
]  # fmt: skip
CALLED = [
    "array", "cast", "coalesce", "count", "extract", "lower", "overlay", "position", "row", "substring", "trim",
    "unnest", "any", "exists",
]  # fmt: skip
NESTED = [
    *((f"{name}(", "1", ")") for name in TYPES + CALLED),
    *((f"{name}[", "1", "]") for name in ("array", "date", "a", "")),
    ("(", "1", ")"), ("((", "1", "))"), ("(select ", "1", ")"), ("(select * from ", "v", ") x"), ("a -> (", "1", ")"),
    ("(select 1 limit ", "1", ")"), ("(select 1 order by ", "1", ")"), ("(select 1 union ", "select 1", ")"),
    ("case when ", "1", " then 1 end "), ("case when a then 1 else ", "1", " end "), ("not ", "1", ""), ("- ", "1", ""),
    ("cast(", "1", " as numeric(10,2))"), ("", "1", "::numeric(10,2)"), ("", "a", "[1]"), ("a[1:", "1", "]"),
    ("1 in (", "1", ")"), ("1 = any (array[", "1", "])"), ("exists (select ", "1", ")"), ("date(array[", "1", "])"),
    ("date(case when 1 then ", "1", " end)"), ("count(*) filter (where ", "1", ")"), ("1 + ", "1", ""),
    ("sum(1) over (order by ", "1", ")"), ("extract(year from ", "1", ")"), ("a between ", "1", " and 2 "),
    ("", "a", " at time zone 'x'"), ("", "a", ' collate "C"'), ("(values (", "1", "))"), ("interval ", "'1'", ""),
    ("(select * from v cross join lateral ", "(select 1)", " x)"), ("1, ", "1", ""), ("a and ", "a", ""),
    ("(select 1 group by rollup (", "1", "))"), ("generate_series(1, ", "1", ")"), ("date '1' ", "1", ""),
]  # fmt: skip


class TooMuchWorkError(Exception):
    """More calls than a test allows."""


def count_calls(function: Callable[[], object], *, most: int) -> int:
    """Calls and returns that a function makes; it is ended when there are more than allowed."""
    calls = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1
        if calls > most:
            sys.setprofile(None)
            raise TooMuchWorkError

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    except BadRequestError:
        pass
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("depth", [4, 8, 16, 64, 10_000])
@pytest.mark.parametrize("nested", NESTED, ids="".join)
def test_each_construct_is_read_or_refused_in_time(nested: tuple[str, str, str], depth: int) -> None:
    opened, middle, closed = nested
    depth = min(depth, 10_000 // len(opened + closed))
    count_calls(lambda: guard("SELECT " + opened * depth + middle + closed * depth, ["v"]), most=CALLS)


def test_no_mixture_of_nested_constructs_takes_long() -> None:
    choose = random.Random(20_260_101)
    for _ in range(250):
        text = mixture(choose, length=choose.choice([60, 250, 1_000, 10_000]))
        try:
            count_calls(lambda text=text: guard(text, ["v"]), most=CALLS)
        except TooMuchWorkError:
            pytest.fail(f"{len(text)} characters: {text[:500]}")


def mixture(choose: random.Random, *, length: int) -> str:
    """A text of about this length: some constructs closed, others open around all that follows."""
    kinds = choose.sample(NESTED, choose.choice([1, 2, 3, 8]))
    text, closing = "SELECT ", ""
    while len(text) + len(closing) < length:
        opened, middle, closed = choose.choice(kinds)
        depth = choose.choice([1, 1, 2, 3, 8, 20])
        if choose.random() < 0.5:
            text += opened * depth + middle + closed * depth + choose.choice([", ", " + "])
        else:
            text += opened * depth
            closing = closed * depth + closing
    return (text + "1" + closing)[:length]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "date(" * 8 + "'2020-01-01'" + ")" * 8,
        "SELECT " + "ARRAY[" * 8 + "1" + "]" * 8,
        "SELECT " + "(" * 14 + "1" + ")" * 14,
        "SELECT " + ", ".join(f"CASE WHEN a = {n} THEN b + {n} END AS c{n}" for n in range(150)) + " FROM v",
        "SELECT 1 FROM v WHERE code IN (" + ", ".join(f"'{n}'" for n in range(9_000)) + ")",
        "SELECT 1 FROM v WHERE code = ANY (ARRAY[" + ", ".join(map(str, range(9_000))) + ", 'last' || 'one'])",
    ],
    ids=["casts", "arrays", "brackets", "columns", "codes", "array"],
)
def test_long_questions_as_analysts_write_them_are_read(text: str) -> None:
    assert guard(text, ["v"]).text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "SELECT 1,\n" + "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
            "line 2, column 33: more than 32 brackets",
        ),
        ("SELECT 1" + ", a" * MAX_TOKENS, "longer than 3,000 words and symbols"),
        ("SELECT " + "date(" * 16 + "1" + ")" * 16, "steps to read"),
        ("SELECT 1 IN ('a', 'b'" + ", 'c'" * 20 + ", (SELECT 1 FROM secret), 'd')", "no view secret"),
    ],
)
def test_a_refusal_says_what_is_too_much(text: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        guard(text, ["v"])
