"""A quarantined resource comes with the view, the column and the path that it fails on, and without any value."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.cli.documents import run
from lambda_pipeline.database import Database
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import compile_view, load_views
from lambda_pipeline.views.narrowing import first_columns
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

SECRET = "Xqsecret"
PEOPLE: dict[str, Any] = {
    "resourceType": "ViewDefinition", "resource": "Patient", "name": "people",
    "where": [{"path": "active.exists() or multipleBirth.ofType(integer) < 9"}],
    "select": [
        {"column": [
            {"name": "id", "path": "getResourceKey()"},
            {"name": "gender", "path": "gender"},
            {"name": "born", "path": "birthDate", "tag": [{"name": "ansi/type", "value": "DATE"}]},
            {"name": "births", "path": "multipleBirth.ofType(integer)", "type": "integer"},
        ]},
        {"forEachOrNull": "name", "column": [{"name": "given", "path": "given"}, {"name": "family", "path": "family"}]},
        {"unionAll": [
            {"forEach": "telecom", "column": [{"name": "contact", "path": "value"}]},
            {"column": [{"name": "contact", "path": "address.city"}]},
        ]},
    ],
}  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "several values": (
        {"name": [{"given": [SECRET, "B"]}]},
        "view people, column given (path given): has more than one value",
    ),
    "another shape": (
        {"gender": [SECRET]},
        "view people, column gender (path gender): has a value of another JSON type",
    ),
    "a partial date": (
        {"birthDate": "1950-01"},
        "view people, column born (path birthDate): has a malformed or partial date or time, and needs a complete one",
    ),
    "a large number": (
        {"multipleBirthInteger": 2**31},
        "view people, column births (path multipleBirth.ofType(integer)): has a number that is out of range",
    ),
    "in a union": (
        {"address": [{"city": SECRET}, {"city": "B"}]},
        "view people, column contact (path value): has more than one value",
    ),
    "in an iteration": (
        {"name": {"family": SECRET}},
        "view people, column given (path given): has a value of another JSON type",
    ),
    "two columns": (
        {"name": [{"given": [SECRET, "B"]}], "birthDate": "1950-01"},
        "view people, column born (path birthDate): has a malformed or partial date or time, and needs a complete one",
    ),
    "in where": (
        {"active": [SECRET]},
        "view people, its where: a value has another JSON type than its column or condition needs, or is not base64",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reason_names_view_column_and_path_in_every_layer(make_world: Callable[..., World], name: str) -> None:
    """It said "a column that is not a collection has more than one value": which of forty?"""
    elements, expected = CASES[name]
    world = make_world()
    world.use([PEOPLE])
    for logical_id in ("a", "b"):
        world.demo.update(patient(logical_id, active=True))
    world.refresh()
    world.demo.update(patient("bad", **{"active": True} | elements))
    world.poll()
    live = world.serving.query("people").quarantined
    source = world.serving.query("people", mode="source").quarantined
    world.refresh()
    batch = world.serving.query("people", mode="batch").quarantined
    assert [one.resource for one in live] == ["Patient/bad"]
    assert live[0].reason.startswith(expected)
    assert SECRET not in live[0].reason
    assert live == source == batch
    assert world.serving.query("people").row_count == 2


def test_each_of_several_resources_is_told_its_own_column(make_world: Callable[..., World]) -> None:
    """The column that the last resource failed on is tried first for the next one; it must not be blamed unseen."""
    world = make_world()
    world.use([PEOPLE])
    expected = {}
    for number, (elements, reason) in enumerate([*CASES.values(), *reversed(CASES.values())]):
        world.demo.update(patient(f"bad-{number}", **{"active": True} | elements))
        expected[f"Patient/bad-{number}"] = reason
    world.refresh()
    quarantined = {one.resource: one.reason for one in world.serving.query("people", mode="batch").quarantined}
    assert quarantined.keys() == expected.keys()
    assert [name for name, reason in expected.items() if not quarantined[name].startswith(reason)] == []


def test_a_body_that_is_not_json_is_no_fault_of_a_column(make_world: Callable[..., World]) -> None:
    world = make_world()
    world.use([PEOPLE])
    world.demo.update(patient("a", active=True))
    write_raw(world.demo, "Patient", "broken", f'{{"resourceType": "{SECRET}')
    world.refresh()
    (found,) = world.serving.query("people").quarantined
    assert found.reason == "a value is not valid for the type of its column, or the body is not JSON"


def test_the_run_over_a_file_names_the_column_of_a_bad_line(database_url: str, tmp_path: Path) -> None:
    data = tmp_path / "people.ndjson"
    data.write_text(json.dumps(patient("bad", name=[{"given": [SECRET, "B"]}], active=True)))
    database = Database(database_url)
    with database.connect() as connection:
        _, bad = run(connection, compile_view(PEOPLE), data)
    database.close()
    assert [line.reason for line in bad] == ["view people, column given (path given): has more than one value"]


def test_a_definition_that_no_longer_compiles_has_no_columns_to_blame() -> None:
    """An older version published it: its rows go on, and reasons name the view only."""
    definition = {"select": [{"column": [{"name": "id", "path": "nope("}]}]}
    assert first_columns(replace(compile_view(PEOPLE), name="older", definition=definition), 1) is None


def test_the_first_columns_of_every_shipped_view_compile() -> None:
    for view in load_views(Settings().view_definitions):
        for count in range(len(view.columns) + 1):
            narrow = first_columns(view, count)
            assert narrow is not None
            assert narrow.columns == view.columns[:count] or count == 0
