"""Small counts are not shown, and cannot be computed from those that are."""

from datetime import UTC, datetime
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_pipeline.cohorts import Cell, CohortAnswer, LeftOut, Step
from lambda_pipeline.cohorts.disclosure import protect

LIMIT = 11


def answer(remaining: list[int], alone: list[int], cells: list[int], left_out: int = 0) -> CohortAnswer:
    steps = [Step("all persons", remaining[0], 0)]
    for number, (before, after) in enumerate(pairwise(remaining)):
        steps.append(Step(f"rule {number}", after, before - after, alone[number]))
    return CohortAnswer(
        name="x", definition_sha256="", code_sets=(), persons=remaining[-1], attrition=tuple(steps),
        breakdown=tuple(Cell("male", f"band {number}", count) for number, count in enumerate(cells)),
        left_out=(LeftOut("$.index", "other-unit", left_out),) if left_out else (),
        valid_as_of=datetime(2026, 1, 1, tzinfo=UTC), generation=1, mode="batch", sources=(), quarantined=(), notes=(),
        seconds=0, statement="",
    )  # fmt: skip


def small(count: int) -> bool:
    return 0 < count < LIMIT


def is_safe(number: int) -> bool:
    return not small(abs(number))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.data())
def test_no_difference_of_shown_counts_of_the_attrition_is_small(losses: list[int], data: st.DataObject) -> None:
    remaining = [sum(losses[number:]) for number in range(len(losses))]
    alone = [data.draw(st.integers(before - after, remaining[0] - after)) for before, after in pairwise(remaining)]
    shown = protect(answer(remaining, alone, [remaining[-1]]), LIMIT)
    known = [step.remaining for step in shown.attrition if isinstance(step.remaining, int)]
    if isinstance(shown.attrition[0].remaining, int):
        known += [remaining[0] - a for step in shown.attrition if isinstance(a := step.excluded_alone, int)]
    assert all(is_safe(one - other) for one, other in product([*known, 0], repeat=2))
    for step in shown.attrition:
        assert isinstance(step.lost, str) or is_safe(step.lost)
        assert not isinstance(step.excluded_alone, int) or is_safe(step.excluded_alone)
    assert shown.persons == ("<11" if small(remaining[-1]) else remaining[-1]), "the answer itself is never hidden"


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_small_cell_may_be_any_small_number_by_all_that_is_shown(cells: list[int]) -> None:
    total = sum(cells)
    shown = [cell.persons for cell in protect(answer([total, total], [0], cells), LIMIT).breakdown]
    assert all(isinstance(count, str) or is_safe(count) for count in shown)
    if small(total) or "<11" not in shown:
        return
    ranges = {"<11": range(1, LIMIT), "hidden": range(LIMIT, total + 1)}
    possible = [range(count, count + 1) if isinstance(count, int) else ranges[count] for count in shown]
    consistent = [guess for guess in product(*possible) if sum(guess) == total]
    for place, count in enumerate(shown):
        if count == "<11":
            assert {guess[place] for guess in consistent} == set(range(1, LIMIT))


@pytest.mark.parametrize(
    ("remaining", "shown"),
    [
        ([100, 50, 20], [100, 50, 20]),
        ([100, 50, 5], [100, 50, "<11"]),
        ([100, 95, 50], ["hidden", 95, 50]),
        ([100, 50, 45], [100, "hidden", 45]),
        ([100, 100, 0], [100, 100, 0]),
    ],
)
def test_lines_that_differ_by_little_are_hidden_above_the_answer(remaining: list[int], shown: list[int | str]) -> None:
    found = protect(answer(remaining, [remaining[0]] * 2, [remaining[-1]]), LIMIT)
    assert [step.remaining for step in found.attrition] == shown


def test_counts_of_what_was_left_out_are_protected_and_ids_removed() -> None:
    found = protect(answer([100, 50], [50], [50], left_out=3), LIMIT)
    assert [each.count for each in found.left_out] == ["<11"]
    assert found.person_ids is None
    assert found.summary()["min_cell"] == LIMIT
    assert "&lt;11 rows" in found._repr_html_()
