"""Rows counted by group: the same numbers as SQL, partial dates under their own value, small counts not shown."""

import random
from collections import Counter
from datetime import date
from typing import Any

import pytest

from lambda_pipeline.api import Filter, Operator
from lambda_pipeline.cohorts import GroupCounts, count_by
from lambda_pipeline.cohorts.disclosure import HIDDEN, protect_groups
from lambda_pipeline.errors import BadRequestError, NoGenerationError
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

BORN = {
    "a": "1970", "b": "1970-05", "c": "1970-05-31", "d": "1980-01-01", "e": None, "f": "1970-05-01",
}  # fmt: skip


@pytest.fixture
def ward(empty_world: World) -> World:
    """Six patients whose birth dates are known to the year, month or day, or not at all."""
    for logical_id, born in BORN.items():
        gender = "female" if logical_id in "bd" else "male"
        empty_world.demo.update(patient(logical_id, gender, **({"birthDate": born} if born else {})))
    empty_world.refresh()
    empty_world.poll()
    return empty_world


def counted(world: World, by: list[str], **asked: Any) -> GroupCounts:
    return count_by(world.serving, "patients", by, **asked)


def test_a_column_is_counted_by_its_values(ward: World) -> None:
    answer = counted(ward, ["gender"])
    assert answer.rows == [("female", 2), ("male", 4)]
    assert [column.name for column in answer.columns] == ["gender", "_count"]
    assert (answer.total, answer.row_count, answer.generation, answer.min_cell) == (6, 2, 1, 0)
    assert answer.sources == ("batch generation 1", "overlay")


def test_a_date_without_a_month_is_counted_under_its_own_value(ward: World) -> None:
    assert counted(ward, ["birth_date:month"]).rows == [("1970", 1), ("1970-05", 3), ("1980-01", 1), (None, 1)]
    assert counted(ward, ["birth_date:year"]).rows == [("1970", 4), ("1980", 1), (None, 1)]


def test_an_age_that_the_date_does_not_decide_is_unknown(ward: World) -> None:
    """On 1 June 1988 those of May 1970 are 18, one of 1970 may be 17, and one of 1980 is 8."""
    answer = counted(ward, ["birth_date:age"], age_at=date(1988, 6, 1), age_bands=[18])
    assert answer.rows == [("0-17", 1), ("18+", 3), ("unknown", 2)]
    turned = counted(ward, ["birth_date:age"], age_at=date(1988, 5, 31), age_bands=[18])
    assert turned.rows == [("0-17", 1), ("18+", 3), ("unknown", 2)]
    day_before = counted(ward, ["birth_date:age"], age_at=date(1988, 5, 30), age_bands=[18])
    assert day_before.rows == [("0-17", 2), ("18+", 1), ("unknown", 3)]


def test_several_columns_filters_and_a_limit(ward: World) -> None:
    answer = counted(ward, ["gender", "birth_date:year"], where=[Filter("birth_date", Operator.IS_NULL, False)])
    assert answer.rows == [("female", "1970", 1), ("female", "1980", 1), ("male", "1970", 3)]
    limited = counted(ward, ["gender"], limit=1)
    assert (limited.rows, limited.row_count, limited.total) == ([("female", 2)], 2, 6)


def test_the_merge_comes_before_the_count(ward: World) -> None:
    ward.demo.update(patient("a", "female"))
    ward.demo.delete("Patient", "b")
    ward.poll()
    assert counted(ward, ["gender"]).rows == [("female", 2), ("male", 3)]
    assert counted(ward, ["gender"], mode="batch").rows == [("female", 2), ("male", 4)]
    assert counted(ward, ["gender"], mode="source").rows == [("female", 2), ("male", 3)]


@pytest.mark.parametrize("seed", range(3))
def test_the_counts_are_those_of_the_rows(empty_world: World, seed: int) -> None:
    choose, world = random.Random(seed), empty_world
    world.refresh()
    dates = ["1970", "1970-05", "1970-05-31", "1971-12", "1971-12-01"]
    for number in range(40):
        born = {"birthDate": choose.choice(dates)} if choose.random() < 0.8 else {}
        world.demo.update(patient(f"p{number % 25}", choose.choice(["male", "female"]), **born))
        if number == 20:
            world.refresh()
    world.poll()
    rows = world.serving.query("patients", columns=["gender", "birth_date"]).rows
    expected = Counter((gender, born[:7] if born else None) for gender, born in rows)
    answer = counted(world, ["gender", "birth_date:month"])
    assert {row[:2]: row[2] for row in answer.rows} == expected
    assert answer.total == 25


def test_small_groups_and_what_tells_of_them_are_not_shown(empty_world: World) -> None:
    """One patient of the gender other: no line has that value, and no sum tells the number."""
    genders = ["other", *["male"] * 24, *["female"] * 35]
    empty_world.demo.load(patient(f"p{number}", gender) for number, gender in enumerate(genders))
    empty_world.refresh()
    answer = counted(empty_world, ["gender"], min_cell=11)
    assert answer.rows == [("female", "35"), ("male", HIDDEN)]
    assert (answer.total, answer.withheld, answer.row_count) == (60, 1, 2)
    assert answer.question is not None
    assert answer.question.content["min_cell"] == 11
    assert counted(empty_world, ["gender"], min_cell=36).rows == []


def test_ids_are_no_groups_where_small_counts_are_not_shown(ward: World) -> None:
    serving = ward.serving
    serving.settings = serving.settings.model_copy(update={"disclosure_min_cell": 11})
    answer = counted(ward, ["id"])
    assert (answer.rows, answer.withheld, answer.total) == ([], 6, "<11")
    assert counted(ward, ["id"], min_cell=0).withheld == 0


@pytest.mark.parametrize("seed", range(300))
def test_no_small_count_can_be_computed(seed: int) -> None:
    """By the total, the counts shown and the number of groups, a small group may be of any size below the limit."""
    choose = random.Random(seed)
    limit = choose.choice([3, 5, 11])
    counts = [
        choose.choice([choose.randrange(1, limit), choose.randrange(limit, 40)]) for _ in range(choose.randrange(1, 7))
    ]
    shown, total = protect_groups(counts, limit)
    assert all(cell is None for cell, count in zip(shown, counts, strict=True) if count < limit)
    if not any(count < limit for count in counts):
        assert (shown, total) == (counts, sum(counts))
        return
    if sum(counts) < limit:
        assert total == f"<{limit}"
        return
    withheld = shown.count(None)
    if withheld == len(counts):
        return
    rest = sum(counts) - sum(cell for cell in shown if isinstance(cell, int))
    lowest = shown.count(HIDDEN) * limit
    for size in range(1, limit):
        least, most = size + (withheld - 1) + lowest, size + (withheld - 1) * (limit - 1)
        assert least <= rest
        assert shown.count(HIDDEN) or rest <= most


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ([], "nothing to count by"),
        (["gender", "gender"], "named twice"),
        (["sex"], "view patients has no column sex"),
        (["birth_date:week"], "parts: year, month, age"),
        (["gender:month"], "column gender is no date"),
        ("gender", "columns is not a list of names"),
    ],
)
def test_what_cannot_be_counted_by_is_refused(ward: World, by: Any, reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        counted(ward, by)


def test_lists_are_no_groups(ward: World) -> None:
    with pytest.raises(BadRequestError, match="which rows are not counted by"):
        count_by(ward.serving, "heights", ["profile"])


@pytest.mark.parametrize("bands", [[18, 18], [45, 18], [0], ["18"], "18"])
def test_age_bands_rise(ward: World, bands: Any) -> None:
    with pytest.raises(BadRequestError, match=r"age.bands"):
        counted(ward, ["birth_date:age"], age_bands=bands)


def test_no_count_before_the_first_generation(empty_world: World) -> None:
    with pytest.raises(NoGenerationError):
        counted(empty_world, ["gender"])
