"""Values of resources at the edge of what they may be: every layer gives them as they are, or quarantines them."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import MEASURED
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.worlds import World, multiset

NUMBERS = [
    "0", "-0", "-0.0", "0.00", "1.50", "1e3", "1E+3", "1e-30", "1E400", "1e-400", "9" * 400, "0." + "0" * 300 + "1",
    "1e131071",
    "1e131072", "1e-16383", "1e99999", "2147483647", "2147483648", "9223372036854775808", "180.505", "999999.99",
    "999999.995",
]  # fmt: skip
OTHERS = [
    "null", "true", "false", '"5"', '""', "[]", "{}", "[1]", "[[1]]", '{"a": 1}', '"\\u0000"', '"\\\\u0000"',
    '"\\ud83d\\ude00"',
    '"\\ud800"', '"a\\u2028b"', '"' + "x" * 1_000_000 + '"', '"\'; DROP TABLE hfj_resource; --"', '"%s %(a)s {0} $1"',
]  # fmt: skip
MOMENTS = [
    "1970", "1970-01", "1970-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "0000-01-01", "1970-02-30",
    "1970-13-01",
    "1970-01-01T24:00:00Z", "1970-01-01T23:59:60Z", "1970-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "infinity",
    "0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00.1234567Z", "1970-01-01T00:00Z", "now", "epoch",
    "294277-01-01T00:00:00Z",
]  # fmt: skip
ELEMENTS: dict[str, Callable[[random.Random], str]] = {
    "valueQuantity": lambda choose: f'{{"value": {choose.choice([*NUMBERS * 3, *OTHERS])}}}',
    "valueInteger": lambda choose: choose.choice([*NUMBERS, *OTHERS]),
    "valueString": lambda choose: choose.choice([*OTHERS, json.dumps(choose.choice(hostile.TEXTS))]),
    "valueBoolean": lambda choose: choose.choice(OTHERS),
    "valueTime": lambda choose: json.dumps(choose.choice(["08:30:00", "24:00:00", "8:30", "23:59:60",
    "08:30:00.1234567"])),
    "effectiveDateTime": lambda choose: json.dumps(choose.choice(MOMENTS)),
    "issued": lambda choose: json.dumps(choose.choice(MOMENTS)),
    "code": lambda choose: f'{{"coding": [{{"code": {choose.choice(OTHERS)}}}, {{"code": "b"}}]}}',
}  # fmt: skip


def body(choose: random.Random) -> tuple[str, str, str]:
    """A body with one extreme value: its text, the element, and the value."""
    name = choose.choice(list(ELEMENTS))
    value = ELEMENTS[name](choose)
    return f'{{"resourceType":"Observation","status":"final","{name}":{value}}}', name, value


@pytest.mark.parametrize("part", hostile.parts(120, 60))
def test_an_extreme_value_is_the_same_in_every_layer(make_world: Callable[..., World], part: int) -> None:
    choose = hostile.chooser("values", part)
    world = make_world()
    world.use([MEASURED])
    texts: dict[str, tuple[str, str]] = {}

    def write(numbers: range) -> None:
        for number in numbers:
            text, name, value = body(choose)
            write_raw(world.demo, "Observation", f"o{number}", text)
            texts[f"o{number}"] = name, value

    write(range(40))
    world.refresh()
    write(range(20, 60))
    world.poll()
    live = world.serving.query("measured")
    assert multiset(live) == multiset(world.serving.query("measured", mode="source"))
    assert quarantined(live) == quarantined(world.serving.query("measured", mode="source"))
    world.refresh()
    assert multiset(live) == multiset(world.serving.query("measured", mode="batch"))
    assert quarantined(live) == quarantined(world.serving.query("measured", mode="batch"))
    missing = {one.resource.partition("/")[2] for one in live.quarantined}
    assert {*live.frame["id"], *missing} == set(texts)
    for row in live.frame.to_dict("records"):
        name, value = texts[row["id"]]
        if name == "valueQuantity" and value[10:-1] in NUMBERS:
            assert Decimal(str(row["value"])) == Decimal(value[10:-1])
        if name == "valueString" and value.startswith('"') and "\\u0000" not in value:
            assert row["said"] in (json.loads(value), None), value


def quarantined(answer: Any) -> dict[str, str]:
    return {one.resource: one.reason for one in answer.quarantined}
