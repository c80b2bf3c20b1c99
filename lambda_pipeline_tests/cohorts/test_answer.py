"""An answer: its frames and HTML, what it refuses to be, and when there is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lambda_pipeline.cohorts import CohortAnswer, ask, show
from lambda_pipeline.errors import (
    BadRequestError,
    CohortDefinitionError,
    NoGenerationError,
    QuarantinedError,
)
from lambda_pipeline_tests.cohorts.people import PEOPLE, VIEWS
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.worlds import World

Json = dict[str, Any]
MEN: Json = {
    "name": "Men <b>",
    "person": {"view": "people", "id": "pid", "birth_date": "born", "sex": "sex"},
    "rules": [{"name": "Men & boys", "match": "ALL", "members": [{"sex": ["male"]}]}],
    "breakdown": {"age_at": "2000"},
}


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    made = make_world()
    made.use(VIEWS)
    for logical_id, more in [("a", {"birthDate": "1960-05-05"}), ("b", {"birthDate": "1999"}), ("c", {})]:
        made.demo.update({"resourceType": "Patient", "id": logical_id, "gender": "male", **more})
    made.demo.update({"resourceType": "Patient", "id": "d", "gender": "female"})
    return made


@pytest.fixture
def published(world: World) -> World:
    world.refresh()
    world.poll()
    return world


def test_counts_as_frames_json_and_html(published: World) -> None:
    answer = ask(published.serving, MEN, persons=True)
    assert answer.attrition_frame.to_dict("list")["remaining"] == [4, 3]
    assert answer.breakdown_frame.to_dict("records") == [
        {"sex": "male", "age_band": "0-17", "persons": 1},
        {"sex": "male", "age_band": "18-44", "persons": 1},
        {"sex": "male", "age_band": "unknown", "persons": 1},
    ]
    assert list(answer.persons_frame["person_id"]) == ["a", "b", "c"]
    summary = json.dumps(answer.summary())
    assert '"persons": 3' in summary
    assert '"person_ids"' not in summary
    html = answer._repr_html_()
    assert "<h4>Men &lt;b&gt;: 3 persons</h4>" in html
    assert "Men &amp; boys" in html
    assert ">a<" not in html


def test_ids_are_read_only_on_request(published: World) -> None:
    answer = ask(published.serving, MEN)
    assert answer.person_ids is None
    assert "'person'" not in answer.statement
    with pytest.raises(ValueError, match="not asked for"):
        _ = answer.persons_frame


def test_ids_are_not_given_out_while_small_counts_are_not_shown(published: World) -> None:
    with pytest.raises(BadRequestError, match="ids of persons are not given out"):
        ask(published.serving, MEN, persons=True, min_cell=11)
    assert ask(published.serving, MEN, min_cell=11).persons == "<11"
    published.serving.settings = published.settings.model_copy(update={"disclosure_min_cell": 3})
    assert ask(published.serving, MEN).persons == 3
    assert {cell.persons for cell in ask(published.serving, MEN).breakdown} == {"hidden"}
    assert ask(published.serving, MEN, min_cell=0, persons=True).person_ids == ("a", "b", "c")


@pytest.mark.parametrize("wrong", [{"persons": 2}, {"breakdown": ()}, {"person_ids": ("a",)}, {"attrition": ()}])
def test_counts_that_do_not_fit_each_other_are_no_answer(published: World, wrong: Json) -> None:
    answer: CohortAnswer = ask(published.serving, MEN)
    with pytest.raises((ValueError, IndexError)):
        replace(answer, **wrong)


def test_without_a_generation_only_the_source_answers(world: World) -> None:
    with pytest.raises(NoGenerationError):
        ask(world.serving, MEN)
    answer = ask(world.serving, MEN, mode="source")
    assert (answer.persons, answer.generation, answer.sources) == (3, None, ("hapi",))


def test_a_question_may_refuse_resources_that_cannot_be_read(published: World) -> None:
    write_raw(published.demo, "Patient", "broken", "{no json")
    published.poll()
    answer = ask(published.serving, MEN)
    assert (answer.persons, [found.resource for found in answer.quarantined]) == (3, ["Patient/broken"])
    with pytest.raises(QuarantinedError):
        ask(published.serving, MEN, accept_quarantined=False)


def test_a_definition_is_read_over_the_views_as_they_are_published(published: World) -> None:
    columns = [{**each, "name": "renamed"} if each["name"] == "sex" else each for each in PEOPLE["select"][0]["column"]]
    published.use([{**PEOPLE, "select": [{"column": columns}]}, *VIEWS[1:]])
    assert ask(published.serving, MEN).persons == 3
    renamed = {**MEN, "person": {**MEN["person"], "sex": "renamed"}}
    with pytest.raises(CohortDefinitionError, match=r"\$.person.sex: the view has no column renamed"):
        ask(published.serving, renamed)
    with pytest.raises(CohortDefinitionError):
        show(published.serving, renamed)
    published.refresh()
    published.poll()
    assert ask(published.serving, renamed).persons == 3
