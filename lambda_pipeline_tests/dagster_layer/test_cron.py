"""A cron expression that the settings accept is one that Dagster loads: it reads the schedule only when it starts."""

import random

import dagster as dg
import pytest

from lambda_pipeline.environment import check_cron
from lambda_pipeline.orchestration.schedules import nightly_schedule
from lambda_pipeline.settings import Settings

WORDS = ["*", "jan", "Feb", "mon", "SUN", "fri", "l", "L2", "5#3", "7#1", "?", "W", "07", "1", "4", "30", "31", ""]


def loads(expression: str) -> bool:
    try:
        return bool(nightly_schedule(Settings().model_copy(update={"nightly_cron": expression})))
    except dg.DagsterInvalidDefinitionError:
        return False


def accepted(expression: str) -> bool:
    try:
        check_cron(expression)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "expression",
    ["0 2 * * *", "*/15 1-5 1,15 * MON-FRI", "22-4 * * * *", "0 2 * * FRI-MON", "5/10 * * * *", "0 2 L * *",
     "0 2 * * FRI#3", "0 2 * * L5", "0 2 ? * *", "0 2 29 2 *", "0 2 31 4 MON", " 0  2 * * *", "@daily", "@annually"],
)  # fmt: skip
def test_expressions_of_a_schedule_are_accepted(expression: str) -> None:
    assert accepted(expression)
    assert loads(expression)


@pytest.mark.parametrize(
    "expression",
    ["0 25 * * *", "60 * * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 8", "*/0 * * * *", "0,,5 * * * *", "-5 * * * *",
     "0 2 * * * *", "0 2 * *", "@reboot", "", "0 2 30 2 *", "0 2 1W * *", "H 2 * * *", "1-2-3 * * * *"],
)  # fmt: skip
def test_expressions_that_do_not_load_are_refused(expression: str) -> None:
    assert not accepted(expression)
    assert not loads(expression)


@pytest.mark.parametrize("expression", ["0 2 31 4 *", "0 2 30,31 feb *", "0 2 31 2,4,6,9,11 ?", "*/70 * * * *"])
def test_what_never_comes_or_would_come_more_often_is_refused(expression: str) -> None:
    assert not accepted(expression)


def test_whatever_is_accepted_loads() -> None:
    choose = random.Random(3)

    def part() -> str:
        number = choose.choice([str(choose.randint(0, 70)), *choose.choices(WORDS, k=3)])
        end = choose.choice(WORDS)
        return number + choose.choice(["", "", "", f"-{end}", f"/{choose.randint(0, 9)}", f"-{end}/2"])

    def field() -> str:
        return choose.choice(["*", str(choose.randint(0, 25)), ",".join(part() for _ in range(choose.randint(1, 2)))])

    expressions = [" ".join(field() for _ in range(choose.choice([4, 5, 5, 5, 5, 6]))) for _ in range(6_000)]
    good = [expression for expression in expressions if accepted(expression)]
    assert len(good) > 200
    assert [expression for expression in good if not loads(expression)] == []
