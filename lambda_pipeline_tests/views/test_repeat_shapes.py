"""Elements that a `repeat` reaches are checked wherever the view stands, and whatever its other selects give.

A check on the rows of the `repeat` itself would be skipped by PostgreSQL where another select has no row: the resource
would be quarantined in one plan and not in another.
"""

from typing import Any

import psycopg
import pytest

from lambda_pipeline_tests.support.cases import RunView

Json = dict[str, Any]

ITEMS: Json = {"repeat": ["item", "answer.item"], "column": [{"name": "link", "path": "linkId"}]}
NO_LIST: Json = {"forEach": "contained", "column": [{"name": "c", "path": "id"}]}
NO_ELEMENT: Json = {"forEach": "subject", "column": [{"name": "c", "path": "display"}]}
WITH_ANSWERS: Json = {
    "repeat": ["item"],
    "select": [
        {"column": [{"name": "link", "path": "linkId"}]},
        {"forEach": "answer", "column": [{"name": "a", "path": "id"}]},
    ],
}
PLACES: dict[str, list[Json]] = {
    "alone": [ITEMS],
    "after a list that is empty": [NO_LIST, ITEMS],
    "before a list that is empty": [ITEMS, NO_LIST],
    "after an element that is absent": [NO_ELEMENT, ITEMS],
    "before an element that is absent": [ITEMS, NO_ELEMENT],
    "around a list that is empty": [WITH_ANSWERS],
    "in a union": [{"unionAll": [ITEMS, {"column": [{"name": "link", "path": "id"}]}]}],
    "in an iteration": [NO_ELEMENT, {"forEach": "item", "select": [ITEMS]}],
    "in an iteration over some": [NO_ELEMENT, {"forEach": "item.where(linkId = 'x')", "select": [ITEMS]}],
    "in an iteration that may be empty": [NO_ELEMENT, {"forEachOrNull": "item", "select": [ITEMS]}],
    "in a repeat": [NO_ELEMENT, {"repeat": ["item"], "select": [ITEMS]}],
}


def response(*items: Json, **more: Any) -> Json:
    return {"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed", "item": list(items), **more}


def view(*selects: Json, **more: Any) -> Json:
    return {"resource": "QuestionnaireResponse", "select": list(selects), **more}


def nested(inner: Any, depth: int = 3) -> Json:
    item: Json = {"linkId": "in", **inner}
    for number in range(depth):
        item = {"linkId": str(number), "item": [item]}
    return item


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", [{"linkId": 5}, {"item": {"linkId": "x"}}, {"item": ["x"]}], ids=repr)
def test_a_wrong_shape_deep_inside_cannot_be_read(run_view: RunView, place: str, wrong: Json) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        run_view(view(*PLACES[place]), [response(nested(wrong))])


@pytest.mark.parametrize("place", PLACES)
def test_the_same_without_a_wrong_shape_can_be_read(run_view: RunView, place: str) -> None:
    run_view(view(*PLACES[place]), [response(nested({}), nested({}, depth=0))])


def test_a_wrong_shape_below_an_answer_cannot_be_read(run_view: RunView) -> None:
    item = {"linkId": "1", "answer": [{"item": [nested({"linkId": []})]}]}
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        run_view(view(NO_ELEMENT, ITEMS), [response(item)])


def test_what_the_repeat_does_not_reach_is_not_checked(run_view: RunView) -> None:
    strange = {"url": "u", "item": "x", "linkId": 5}
    item = {"linkId": "1", "extension": [strange], "definition": {"item": {"linkId": 5}}}
    assert run_view(view(ITEMS), [response(item, extension=[strange])]) == [{"link": "1"}]


def test_a_resource_that_where_excludes_is_not_checked(run_view: RunView) -> None:
    excluding = view(ITEMS, where=[{"path": "status = 'amended'"}])
    assert run_view(excluding, [response(nested({"linkId": 5}))]) == []


def test_criteria_of_a_step_limit_what_is_reached(run_view: RunView) -> None:
    steps = {"repeat": ["item.where(linkId != 'skip')"], "column": [{"name": "link", "path": "linkId"}]}
    skipped = {"linkId": "skip", "item": [{"linkId": 5}]}
    assert run_view(view(steps), [response({"linkId": "1", "item": [skipped]})]) == [{"link": "1"}]
