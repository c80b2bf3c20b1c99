"""`views test`, the contract, and what `views lint` says of a file of tests: as an author of a view meets them."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program, Result


def column(name: str, path: str, type_: str) -> dict[str, Any]:
    return {"name": name, "path": path, "type": type_}


ID = column("id", "getResourceKey()", "id")
PEOPLE: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "name": "people",
    "status": "active",
    "resource": "Patient",
    "select": [
        {"column": [ID, column("gender", "gender", "code"), column("born", "birthDate", "date")]},
        {"forEachOrNull": "name.first()", "column": [column("family", "family", "string")]},
    ],
}
SICK: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "name": "sick",
    "status": "active",
    "resource": "Condition",
    "select": [{"column": [ID, column("patient_id", "subject.getReferenceKey(Patient)", "id")]}],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The deployed views `people` and `sick`; none has tests."""
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(tmp_path))
    for view in (PEOPLE, SICK):
        (tmp_path / f"{view['name']}.json").write_text(json.dumps(view))
    return tmp_path


def define(folder: Path, tests: str, *, view: str = "people") -> Path:
    file = folder / f"{view}.tests.yaml"
    file.write_text(tests)
    return file


def lines(result: Result) -> dict[str, str]:
    """What is said of each test, by its name."""
    return dict(line.split(": ", 1)[1].split(": ", 1) for line in result.out.splitlines())


def test_a_test_that_fails_names_rows_and_resources_and_no_value(
    folder: Path, hapi: DemoHapi, program: Program
) -> None:
    define(folder, "unique: [gender, [id, gender]]\nnot_null: [born, id]\naccepted_values: {gender: [male]}\n")
    hapi.load([{"resourceType": "Patient", "id": "nobody", "gender": "female"}])
    assert program("refresh").code == 0
    tested = program("views", "test")
    assert tested.code == 1
    assert tested.out.splitlines()[0].startswith("people.tests.yaml: unique_gender: failed: ")
    found = lines(tested)
    assert found["unique_gender"] == (
        "failed: 6 rows: Patient/adam, Patient/bert, Patient/carl, Patient/dora, Patient/eva"
    )
    assert found["unique_id_gender"] == found["not_null_id"] == "passed"
    assert found["not_null_born"] == "failed: 1 rows: Patient/nobody"
    assert found["accepted_values_gender"] == "failed: 3 rows: Patient/dora, Patient/eva, Patient/nobody"
    assert "5 tests, 3 failed; no tests: sick" in tested.err
    assert "male" not in tested.out + tested.err


def test_a_relationship_names_the_rows_without_a_partner(folder: Path, hapi: DemoHapi, program: Program) -> None:
    define(folder, "relationships:\n  patient_id: {view: people, column: id}\n", view="sick")
    assert program("refresh").code == 0
    assert program("views", "test").code == 0
    hapi.delete("Patient", "bert")
    assert program("refresh").code == 0
    tested = program("views", "test", str(folder / "sick.tests.yaml"))
    assert tested.code == 1
    assert lines(tested)["relationships_patient_id"] == "failed: 1 rows: Condition/c-bert"


def test_the_number_of_rows_is_compared_with_the_last_generation(
    folder: Path, hapi: DemoHapi, program: Program
) -> None:
    define(folder, "row_count: {max_change_percent: 20}\n")
    assert program("refresh").code == 0
    assert program("views", "test").code == 0
    hapi.load([named_patient("fred", "male", "1950-01-31")])
    assert program("refresh").code == 0
    assert program("views", "test").code == 0, "6 rows after 5: 20 %"
    hapi.load([named_patient("gerd", "male", "1950-01-31"), named_patient("hans", "male", "1950-01-31")])
    assert program("refresh").code == 0
    tested = program("views", "test")
    assert tested.code == 1
    assert lines(tested)["row_count"].startswith("failed: 2 rows: 8 rows now and 6 in the generation before")


def test_tests_of_data_that_is_not_there_did_not_pass(folder: Path, hapi: DemoHapi, program: Program) -> None:
    define(folder, "unique: [id]\nnot_null: [family]\nrelationships:\n  id: {view: unknown, column: id}\n")
    tested = program("views", "test")
    assert tested.code == 1
    assert lines(tested)["unique_id"].startswith("failed: not run: no generation has been published")
    without = {**PEOPLE, "select": PEOPLE["select"][:1]}
    (folder / "people.json").write_text(json.dumps(without))
    tests = (folder / "people.tests.yaml").read_text()
    (folder / "people.tests.yaml").unlink()
    assert program("refresh").code == 0
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    define(folder, tests)
    found = lines(program("views", "test"))
    assert found["unique_id"] == "passed"
    assert "the published definition of people has no column family" in found["not_null_family"]
    assert "does not hold view unknown" in found["relationships_id"]


EXAMPLES = """
examples:
  - name: a patient with two names
    resource:
      resourceType: Patient
      id: x
      birthDate: 1950-01
      name: [{family: Swordfish}, {family: Other}]
    rows:
      - {id: x, born: 1950-01, family: FAMILY}
"""


def test_examples_run_without_published_data(
    folder: Path, program: Program, server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    file = define(folder, EXAMPLES.replace("FAMILY", "Swordfish"))
    assert program("views", "test", str(file)).code == 0
    define(folder, EXAMPLES.replace("FAMILY", "Trout"))
    tested = program("views", "test", "--examples", str(folder / "people.json"))
    assert tested.code == 1
    assert lines(tested) == {"example a patient with two names": "failed: 1 rows: differs in family"}
    assert "Swordfish" not in tested.out + tested.err
    define(folder, EXAMPLES.replace("name: [{family: Swordfish}, {family: Other}]", "gender: [male]"))
    assert (
        "column gender (path gender)" in lines(program("views", "test", str(file)))["example a patient with two names"]
    )


@pytest.mark.parametrize(
    ("tests", "place", "reason"),
    [
        ("unikue: [id]", "$.unikue", "did you mean unique?"),
        ("unique: [idd]", "$.unique", "did you mean id?"),
        ("unique: [id, id]", "$", "two tests would be called unique_id"),
        ("unique: [[id, 5]]", "$.unique[0]", "valid string"),
        ("accepted_values: {gender: [5]}", "$.accepted_values.gender", "values are texts"),
        ("accepted_values: {gender: []}", "$.accepted_values.gender", "at least 1"),
        ("relationships: {id: {view: sick}}", "$.relationships.id.column", "is missing"),
        ("row_count: {max_change_percent: -1}", "$.row_count.max_change_percent", "greater than or equal to 0"),
        (
            "examples: [{name: a, resource: {resourceType: Group}, rows: []}]",
            "$.examples[0].resource",
            "is not Patient",
        ),
        (
            "examples: [{name: a, resource: {resourceType: Patient}, rows: [{sex: male}]}]",
            "$.examples[0].rows[0]",
            "no column sex",
        ),
        ("contract: {columns: {id: text}}", "$.contract.enforced", "is missing"),
        ("unique: [id", "$", "line 1"),
    ],
)
def test_a_mistake_in_a_file_of_tests_has_a_place(
    folder: Path, program: Program, tests: str, place: str, reason: str
) -> None:
    define(folder, tests)
    for command in ("lint", "test"):
        told = program("views", command, str(folder / "people.json"))
        text = told.out + told.err
        assert told.code in (1, 3)
        assert f"people.tests.yaml: {place}" in text
        assert reason in text


CONTRACT = "contract: {enforced: true, columns: {id: text, born: text, family: text}}\n"


@pytest.mark.parametrize(
    ("select", "reason"),
    [
        ([{"column": [ID, column("born", "birthDate", "date")]}], "family: the contract has this column"),
        (
            [
                {
                    "column": [
                        ID,
                        {**column("born", "birthDate", "date"), "tag": [{"name": "ansi/type", "value": "DATE"}]},
                    ]
                },
                PEOPLE["select"][1],
            ],
            "born: the contract says text, and the column is date",
        ),
    ],
)
def test_a_broken_contract_fails_its_view_by_name_and_no_other(
    folder: Path, hapi: DemoHapi, program: Program, database_url: str, select: list[Any], reason: str
) -> None:
    define(folder, CONTRACT)
    assert program("refresh").code == 0
    (folder / "people.json").write_text(json.dumps({**PEOPLE, "select": select}))
    assert f"$.contract.columns.{reason}" in program("views", "lint", str(folder / "people.json")).out
    hapi.load([named_patient("fred", "male", "1950-01-31")])
    refreshed = program("refresh")
    assert refreshed.code == 1
    with psycopg.connect(database_url) as connection:
        failures, rows = connection.execute(
            "SELECT failures, (SELECT count(*) FROM sqlonfhir.people WHERE family IS NOT NULL)"
            " FROM sqlonfhir.generation ORDER BY generation DESC LIMIT 1"
        ).fetchone() or ({}, 0)
    assert list(failures) == ["people"]
    assert reason in failures["people"]
    assert rows == 6, "the published definition goes on, with the rows of today"
    assert reason in program("status").err


def test_a_contract_allows_more_columns_and_warns_where_it_is_not_enforced(
    folder: Path, program: Program, hapi: DemoHapi
) -> None:
    file = define(folder, "contract: {enforced: true, columns: {id: text}}\n")
    assert program("refresh").code == 0
    file.write_text("contract: {enforced: false, columns: {id: numeric}}\n")
    assert program("refresh").code == 0
    linted = program("views", "lint", str(folder / "people.json"))
    assert linted.code == 0
    assert "warning: people.tests.yaml: $.contract.columns.id" in linted.err
