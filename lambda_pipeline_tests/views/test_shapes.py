"""A JSON shape that is not FHIR's makes a resource unreadable, whatever the view does with the element."""

import copy
import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.views import compile_view
from lambda_pipeline_tests.support.cases import RunView

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "gender": "male",
    "multipleBirthInteger": 2,
    "name": [
        {"use": "official", "family": "A", "given": ["B", "C"], "period": {"start": "2020"}},
        {"use": "usual", "given": [None, "D"], "_given": [{"extension": [{"url": "u", "valueString": "v"}]}, None]},
    ],
    "maritalStatus": {"coding": [{"system": "s", "code": "M"}], "text": "married"},
    "managingOrganization": {"reference": "Organization/1"},
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "Practitioner/2"}],
    "contact": [
        {"name": {"family": "E"}, "telecom": [{"value": "1"}], "organization": {"reference": "Organization/2"}}
    ],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "O", "partOf": {"reference": "#x"}}],
}
REFERENCES = (
    "managingOrganization", "generalPractitioner", "contact.organization",
    "contained.ofType(Organization).partOf",
)  # fmt: skip
PATHS = (
    *(f"{path}.reference" for path in REFERENCES),
    "active", "gender", "multipleBirth.ofType(integer)", "name.family", "name.given", "name.period.start",
    "maritalStatus.text", "maritalStatus.coding.code", "contact.name.family", "contact.telecom.value",
    "name.given.extension('u').value.ofType(string)",
)  # fmt: skip


def column(path: str, **more: Any) -> dict[str, Any]:
    return {"resource": "Patient", "select": [{"column": [{"name": "x", "path": path, **more}]}]}


def uses(path: str) -> Iterator[dict[str, Any]]:
    """Views that read one path in every way."""
    parent, _, last = path.rpartition(".")
    yield column(path, collection=True)
    yield column(f"{path}.first()")
    yield column(f"{path}.exists()")
    yield column(f"{path}.count()")
    yield column(f"{path}.last()")
    yield column(f"({path} | {path}).isDistinct()")
    yield column(f"iif({path}.exists(), 1, 2)")
    yield column(f"iif(true, {{}}, {path})", collection=True)
    yield {**column("id"), "where": [{"path": f"{path}.exists() or true"}]}
    yield {"resource": "Patient", "select": [{"forEachOrNull": path, "column": [{"name": "x", "path": "$this"}]}]}
    if parent and not last.startswith(("ofType", "value")):
        yield column(f"{parent}.where({last}.exists()).exists()")
        yield column(f"{parent}.where({last}.first() = {last}.first()).exists()")
        yield {
            "resource": "Patient",
            "select": [{"forEachOrNull": parent, "column": [{"name": "x", "path": f"{last}.first()"}]}],
        }
        yield column(f"{parent}.all({last}.exists())")
    if last == "reference":
        yield column(f"{parent}.getReferenceKey()", collection=True)
        yield {**column("id"), "where": [{"path": f"{parent}.getReferenceKey().first() = '1' or true"}]}


def is_unreadable(run_view: RunView, view: dict[str, Any], resource: Any) -> bool:
    try:
        run_view(view, [resource])
    except psycopg.errors.InvalidParameterValue:
        return True
    return False


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where values stand in a resource.

    Left out are the type of a resource, and what stands beside primitives (`_given`), which only some uses read.
    """
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key != "resourceType" and not str(key).startswith("_"):
            yield (*path, key)
            yield from places(item, (*path, key))


def mutated(resource: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The resource with one value in another shape."""
    changed = copy.deepcopy(resource)
    *inner, last = chance.choice(list(places(changed)))
    holder: Any = changed
    for key in inner:
        holder = holder[key]
    value = holder[last]
    others = [[value], {"a": value}, "text", 5, True, [], {}, None, [[value]]]
    if isinstance(value, list) and value:
        others.append(value[0])
    holder[last] = chance.choice([other for other in others if type(other) is not type(value)])
    return changed


def test_a_resource_of_the_right_shape_can_be_read(run_view: RunView) -> None:
    for path in PATHS:
        for view in uses(path):
            assert not is_unreadable(run_view, view, PATIENT), view


@pytest.mark.parametrize("seed", range(40))
def test_all_uses_of_a_path_agree_on_what_cannot_be_read(run_view: RunView, seed: int) -> None:
    resource = mutated(PATIENT, random.Random(seed))
    found = {path: {is_unreadable(run_view, view, resource) for view in uses(path)} for path in PATHS}
    assert {path: outcomes for path, outcomes in found.items() if len(outcomes) > 1} == {}


def test_mutations_make_some_paths_unreadable_and_leave_others(run_view: RunView) -> None:
    outcomes = {
        is_unreadable(run_view, column(path, collection=True), mutated(PATIENT, random.Random(seed)))
        for path in PATHS
        for seed in range(5)
    }
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("gender", {"gender": {"value": "male"}}),
        ("gender", {"gender": []}),
        ("gender", {"gender": 5}),
        ("gender", {"gender": None}),
        ("maritalStatus.text", {"maritalStatus": [{"text": "a"}]}),
        ("maritalStatus.text", {"maritalStatus": "a"}),
        ("name.first().family", {"name": {"family": "a"}}),
        ("name.first().family", {"name": [["a"]]}),
        ("name.first().family", {"name": [None]}),
        ("name.given", {"name": [{"given": "a"}]}),
        ("managingOrganization.getReferenceKey()", {"managingOrganization": {"reference": ["Organization/1"]}}),
    ],
)
def test_a_wrong_shape_cannot_be_read(evaluate: Callable[..., list[Any]], path: str, body: dict[str, Any]) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        evaluate(path, body, collection=path == "name.given")


def test_what_stands_beside_a_primitive_is_checked_where_it_is_read(run_view: RunView) -> None:
    body = {"resourceType": "Patient", "id": "p", "birthDate": "2020", "_birthDate": ["x"]}
    assert not is_unreadable(run_view, column("birthDate"), body)
    assert is_unreadable(run_view, column("birthDate.exists()"), body)
    assert is_unreadable(run_view, column("birthDate.extension('x').exists()"), body)


def test_elements_that_the_view_does_not_read_are_not_checked(evaluate: Callable[..., list[Any]]) -> None:
    assert evaluate("gender", {"gender": "male", "name": "a", "maritalStatus": [1]}) == ["male"]


@pytest.mark.parametrize("wrong", [{"linkId": 5}, {"item": {"linkId": "x"}}, {"answer": [{"item": "x"}]}])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_elements_that_repeat_reaches_are_checked_at_every_depth(
    run_view: RunView, wrong: dict[str, Any], depth: int
) -> None:
    view = {
        "resource": "QuestionnaireResponse",
        "select": [{"repeat": ["item", "answer.item"], "column": [{"name": "x", "path": "linkId"}]}],
    }
    item: dict[str, Any] = {"linkId": "a", "answer": [{"item": [{"linkId": "b"}]}]}
    for broken in ({}, wrong):
        nested = {**item, **broken}
        for _ in range(depth):
            nested = {"linkId": "c", "item": [nested]}
        resource = {"resourceType": "QuestionnaireResponse", "id": "q", "item": [nested]}
        assert is_unreadable(run_view, view, resource) is bool(broken)


def test_a_resource_that_where_leaves_out_is_not_checked_further(run_view: RunView) -> None:
    view = {**column("maritalStatus.text"), "where": [{"path": "gender = 'male'"}]}
    assert run_view(view, [{**PATIENT, "gender": "female", "maritalStatus": 5}]) == []
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        run_view(view, [{**PATIENT, "maritalStatus": 5}])


def test_an_element_is_checked_once() -> None:
    view = {**column("maritalStatus.text"), "where": [{"path": "maritalStatus.exists()"}]}
    assert compile_view(view).statement.count('"maritalStatus".type()') == 1


REAL_PATHS = {
    "Condition": ("subject.reference", "encounter.reference", "code.coding.code", "code.text",
                  "clinicalStatus.coding.system", "recordedDate", "onset.ofType(dateTime)"),
    "Observation": ("subject.reference", "encounter.reference", "status", "code.coding.display", "category.coding.code",
                    "value.ofType(Quantity).value", "component.code.text", "issued"),
    "Patient": ("name.given", "name.family", "address.line", "telecom.value", "maritalStatus.text", "gender",
                "extension.url", "identifier.type.coding.code", "communication.language.text"),
}  # fmt: skip


@pytest.mark.parametrize("resource", REAL_PATHS)
def test_mutated_real_resources(run_view: RunView, shared: Path, resource: str) -> None:
    chance = random.Random(7)
    with gzip.open(shared / "data" / "synthea" / f"{resource}.ndjson.gz", "rt", encoding="utf-8") as lines:
        bodies = [json.loads(line) for line in itertools.islice(lines, 15)]
    outcomes: set[bool] = set()
    for body in bodies:
        changed = mutated(body, chance)
        for path in REAL_PATHS[resource]:
            found = {is_unreadable(run_view, {**view, "resource": resource}, changed) for view in uses(path)}
            assert len(found) == 1, path
            outcomes |= found
    assert outcomes == {True, False}
