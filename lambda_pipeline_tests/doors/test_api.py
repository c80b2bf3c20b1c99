"""The Python API: hostile filters, statements, parameters and options."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline.api import Answer, Deployment, Filter, LambdaPipelineError, Operator, ReadOptions
from lambda_pipeline_tests.doors import hostile

VIEWS = {
    "patients": ["id", "gender", "birth_date", "family"],
    "measured": ["id", "value", "whole", "said", "flag", "clock", "day", "issued", "codes", "small"],
    "conditions": ["id", "patient_id", "code"],
}
PIECES = [
    "SELECT", "*", "FROM", "patients", "measured", "WHERE", "gender", "value", "=", ":a", ":b", "(", ")", ",",
    "count(*)",
    "GROUP BY", "1", "'x'", "::date", "::json", "::int", "LIMIT", "-1", "WITH", "AS", "x", "UNION", "ORDER BY", "CASE",
    "WHEN", "THEN", "END", "/", "0", "interval '1 day'", "ARRAY[", "]", "||", "json_agg(patients)", "NULL", "now()",
    "'infinity'::timestamptz", "$$", "E'", "'10000-01-01'::date", "'24:00'::time", "repeat('x', 9)", ".", "JOIN", "ON",
    "true", "VALUES", ";", "--", "row(1, 2)", "'{1,2}'::int[]", "'NaN'::numeric", "int4range(1, 2)",
    "'1 year'::interval",
    '"a b"', "AS gender", "'-infinity'::date", "LATERAL", "OVER ()", "FILTER (WHERE", "family", "'4713-01-01 BC'::date",
    "1e400::numeric", "'\\x00'::bytea", "'1'::xml", "B'101'", "'(1,2)'::point", "'00:00:00:00:00:00'::macaddr", "TABLE",
    "EXCEPT ALL", "DISTINCT", "generate_series(1, 3)", "unnest(ARRAY[1, NULL])", "FOR UPDATE", 'COLLATE "C"', "IS NULL",
    "(SELECT 1)", "exists (", "U&'\\0041'", "N'x'", "0x1F", "1_000", "'a' 'b'", "FETCH FIRST 1 ROWS ONLY", "@>", "->>",
]  # fmt: skip


def options(choose: random.Random) -> dict[str, Any]:
    given: dict[str, Callable[[], Any]] = {
        "mode": lambda: choose.choice(["live", "batch", "source", "source", "fast", None, 3, ["live"]]),
        "limit": lambda: choose.choice([0, 1, 2, None, -1, 2**31, 2**63, 2**70, "1", 1.5, True, math.nan]),
        "freshness_target_s": lambda: choose.choice([None, 0, 1e-9, 1e300, -1, math.nan, math.inf, "x", 10**400]),
        "compare": lambda: choose.choice([True, False, None, "yes"]),
        "accept_quarantined": lambda: choose.choice([True, False, None]),
        "nonsense": lambda: 1,
    }
    return {name: give() for name, give in given.items() if choose.random() < (0.15 if name != "nonsense" else 0.0)}


def statement(choose: random.Random) -> str:
    kind = choose.random()
    if kind < 0.5:
        expression = " ".join(choose.choices(PIECES, k=choose.choice([1, 1, 2, 3])))
        return f"SELECT {expression} AS x FROM {choose.choice(list(VIEWS))}"
    if kind < 0.8:
        return " ".join(choose.choices(PIECES, k=choose.randint(1, 12)))
    return "SELECT " + hostile.text(choose) + choose.choice([" FROM patients", " AS x", ""])


def where(choose: random.Random, columns: list[str]) -> list[Any]:
    def one() -> Any:
        column = choose.choice([*columns * 5, hostile.value(choose)])
        operator = choose.choice([*list(Operator) * 3, "eq", "like", None, hostile.text(choose)])
        return Filter(column, operator, hostile.value(choose))

    return [one() for _ in range(choose.choice([0, 1, 1, 1, 2, 30]))]


def plainly(operator: Operator, value: Any) -> Callable[[Any], bool] | None:
    """What a filter with a text or a number means, in Python; None where it takes more than a line to say."""
    if isinstance(value, str):
        as_bytes = value.encode(errors="surrogatepass")
        compared: Mapping[Operator, Callable[[Any], bool]] = {
            Operator.EQ: lambda held: held == value,
            Operator.NE: lambda held: held != value,
            Operator.LT: lambda held: held.encode() < as_bytes,
            Operator.LE: lambda held: held.encode() <= as_bytes,
            Operator.GT: lambda held: held.encode() > as_bytes,
            Operator.GE: lambda held: held.encode() >= as_bytes,
        }
        return compared.get(operator)
    return None


def rows(answer: Answer) -> Counter[str]:
    return Counter(map(repr, answer.frame.itertuples(index=False)))


@pytest.mark.parametrize("part", hostile.parts(150, 30))
def test_a_query_answers_what_its_filter_says_or_ends_with_a_code(deployment: Deployment, part: int) -> None:
    choose, serving = hostile.chooser("query", part), deployment.serving
    held = {name: serving.query(name).frame for name in VIEWS}
    for _ in range(30):
        view = choose.choice(list(VIEWS))
        asked: Any = view if choose.random() < 0.9 else hostile.value(choose)
        columns: Any = choose.choice(
            [(), (), (), choose.choices(VIEWS[view], k=2), [hostile.value(choose)], None, "id", 3]
        )
        filters = where(choose, VIEWS[view])
        chosen = options(choose)
        try:
            answer = serving.query(asked, where=filters, columns=columns, **chosen)
        except LambdaPipelineError as error:
            hostile.expect_code(error)
            continue
        assert asked == view, asked
        if chosen.get("limit") is None:
            assert len(answer.frame) == answer.row_count
        if (
            len(filters) == 1
            and chosen.get("mode", "live") == "live"
            and filters[0].column in {"id", "gender", "family"}
        ):
            holds = plainly(Operator(filters[0].operator), filters[0].value)
            if holds:
                expected = sum(holds(one) for one in held[view][filters[0].column] if isinstance(one, str))
                assert answer.row_count == expected, filters


@pytest.mark.parametrize("part", hostile.parts(150, 30))
def test_a_statement_answers_or_ends_with_a_code(deployment: Deployment, part: int) -> None:
    choose = hostile.chooser("select", part)
    for _ in range(30):
        text: Any = statement(choose) if choose.random() < 0.95 else hostile.value(choose)
        given: Any = {
            name: hostile.value(choose) for name in ("a", "b") if isinstance(text, str) and f":{name}" in text
        }
        if choose.random() < 0.1:
            given = choose.choice([None, {}, {"c": 1}, {1: 2}, [], "a", {"": 1}, {"a": 1, "b": 2}])
        try:
            answer = deployment.serving.select(text, given, **options(choose))
        except LambdaPipelineError as error:
            hostile.expect_code(error)
            continue
        assert answer.row_count >= len(answer.frame)


@pytest.mark.parametrize("part", hostile.parts(60, 30))
def test_a_parameter_comes_back_as_it_went_in(deployment: Deployment, part: int) -> None:
    choose = hostile.chooser("parameters", part)
    for _ in range(30):
        value = hostile.value(choose)
        try:
            answer = deployment.serving.select("SELECT :a AS x, :a = :a AS same, 'b' AS b", {"a": value})
        except LambdaPipelineError:
            continue
        (found,) = answer.frame["x"]
        if isinstance(value, str | bool):
            assert found == value
        elif isinstance(value, int | Decimal | float) and not Decimal(value).is_nan():
            assert Decimal(str(found)) == Decimal(repr(float(value)) if isinstance(value, float) else value), value


@pytest.mark.parametrize("part", hostile.parts(40, 40))
def test_a_query_is_the_select_over_the_same_view(deployment: Deployment, part: int) -> None:
    choose, serving = hostile.chooser("both", part), deployment.serving
    signs = {Operator.EQ: "=", Operator.NE: "<>"}
    for _ in range(40):
        view = choose.choice(list(VIEWS))
        column, operator = choose.choice(VIEWS[view]), choose.choice(list(signs))
        value = choose.choice([*serving.query(view).frame[column], hostile.value(choose)])
        mode = choose.choice(["live", "live", "batch", "source"])
        with suppress(LambdaPipelineError):
            asked = serving.query(view, where=[Filter(column, operator, value)], mode=mode)
            text = f"SELECT * FROM {view} WHERE {column} {signs[operator]} :a"
            selected = serving.select(text, {"a": value}, mode=mode)
            assert rows(asked) == rows(selected), (text, value)


def test_options_refuse_what_cannot_be() -> None:
    choose = hostile.chooser("options", 0)
    for _ in range(200):
        with suppress(LambdaPipelineError):
            ReadOptions(**options(choose))
