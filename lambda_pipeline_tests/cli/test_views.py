"""`views`: lint, sql, run, list, drop."""

import gzip
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import confirmed_condition, named_patient
from lambda_pipeline_tests.support.programs import Program

PEOPLE: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "name": "people",
    "status": "active",
    "resource": "Patient",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "born", "path": "birthDate", "type": "date", "tag": [{"name": "ansi/type", "value": "DATE"}]},
            ]
        }
    ],
}


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "people.json"
    file.write_text(json.dumps(PEOPLE))
    return file


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.json"
    columns = [{"name": "born", "path": "brithDate"}, {"name": "two words", "path": "gender"}]
    file.write_text(json.dumps({**PEOPLE, "select": [{"column": columns}]}))
    return file


def test_lint_warns_of_a_column_that_can_have_several_values(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "allergies.json"
    column = {"name": "category", "path": "category"}
    view = {"resourceType": "ViewDefinition", "name": "allergies", "status": "active", "resource": "AllergyIntolerance"}
    file.write_text(json.dumps({**view, "select": [{"column": [column]}]}))
    linted = program("views", "lint", str(file))
    assert linted.code == 0
    assert f"warning: {file}: $.select[0].column[0].path" in linted.err


def test_lint_names_every_problem_with_its_path(program: Program, definition: Path, broken: Path) -> None:
    assert program("views", "lint", str(definition)).code == 0
    linted = program("views", "lint", str(definition), str(broken))
    assert linted.code == 1
    lines = [line for line in linted.out.splitlines() if line.startswith(str(broken))]
    assert len(lines) == 2
    assert "$.select[0].column[0].path" in linted.out
    assert "birthDate" in linted.out
    assert "$.select[0].column[1].name" in linted.out
    assert str(definition) not in linted.out


def test_lint_wants_files_that_are_there(program: Program) -> None:
    assert program("views", "lint", "no-such-file.json").code == 3


def test_sql_is_readable_and_runs(program: Program, definition: Path, database_url: str) -> None:
    shown = program("views", "sql", str(definition))
    assert shown.code == 0
    assert "--   born  date" in shown.out
    relation = (
        "SELECT -1 AS partition, 'Patient' AS type, 'x' AS id, 1 AS version, now() AS last_updated, b::jsonb AS body"
    )
    statement = shown.out.replace("{{relation}}", f'{relation} FROM (VALUES (\'{{"birthDate":"1970-01-31"}}\')) v(b)')
    with psycopg.connect(database_url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    assert [str(value) for value in row] == ["-1", "x", "1", "x", "1970-01-31"]


def test_sql_of_a_broken_file_names_its_problems(program: Program, broken: Path) -> None:
    shown = program("views", "sql", str(broken))
    assert (shown.code, shown.out) == (3, "")
    assert "brithDate" in shown.err


def test_a_view_runs_over_a_file_without_hapi(
    program: Program, definition: Path, tmp_path: Path, server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://127.0.0.1:1/hapi")
    data = tmp_path / "people.ndjson.gz"
    documents = [
        named_patient("adam", "male", "1950-01-31"),
        confirmed_condition("c", "adam"),
        named_patient("eva", "female", "1990-05-05"),
    ]
    with gzip.open(data, "wt") as file:
        file.writelines(json.dumps(document) + "\n" for document in documents)
    ran = program("views", "run", str(definition), "--ndjson", str(data), "--format", "csv")
    assert (ran.code, ran.out) == (0, "id,born\nadam,1950-01-31\neva,1990-05-05\n")


def test_one_bad_value_does_not_hide_the_others(
    program: Program, definition: Path, tmp_path: Path, server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    data = tmp_path / "people.ndjson"
    documents = [
        named_patient("adam", "male", "1950-01-31"),
        named_patient("bert", "male", "1960"),
        named_patient("eva", "female"),
    ]
    data.write_text("\n\n".join(map(json.dumps, documents)))
    ran = program("views", "run", str(definition), "--ndjson", str(data), "--format", "jsonl")
    assert ran.code == 1
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["adam", "eva"]
    assert "people.ndjson line 3: " in ran.err
    assert "1960" not in ran.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"resourceType": "Patient", "id": "Secret', "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"7", "is not a JSON object"),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
@pytest.mark.parametrize("name", ["data.ndjson", "gzipped without its suffix.ndjson"])
def test_a_line_that_is_no_resource_does_not_hide_the_others(
    program: Program,
    definition: Path,
    tmp_path: Path,
    server_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: bytes,
    reason: str,
    name: str,
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    data = tmp_path / name
    people = [json.dumps(named_patient(each, "male", "1950-01-31")).encode() for each in ("adam", "bert")]
    content = b"\n".join([people[0], line, people[1]])
    data.write_bytes(gzip.compress(content) if "gzipped" in name else content)
    ran = program("views", "run", str(definition), "--ndjson", str(data), "--format", "csv")
    assert (ran.code, ran.out) == (1, "id,born\nadam,1950-01-31\nbert,1950-01-31\n")
    assert f"{name} line 2: {reason}" in ran.err
    assert "Secret" not in ran.err


@pytest.fixture
def folder(definition: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the view `people` alone."""
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(definition.parent))
    return definition.parent


def listed(program: Program) -> dict[str, list[str]]:
    lines = program("views", "list").out.splitlines()[2:]
    return {line.split()[0]: line.split() for line in lines}


def test_a_view_goes_from_new_to_dropped(hapi: DemoHapi, program: Program, folder: Path, database_url: str) -> None:
    people = folder / "people.json"
    others = {**PEOPLE, "name": "others"}
    (folder / "others.json").write_text(json.dumps(others))
    assert listed(program)["people"][2] == "new"
    program("refresh")
    assert listed(program)["people"][2:5] == ["published", "1", "4"]
    assert program("views", "drop", "people").code == 3

    changed = json.loads(people.read_text())
    changed["select"][0]["column"].append({"name": "gender", "path": "gender", "type": "code"})
    people.write_text(json.dumps(changed))
    assert listed(program)["people"][2] == "changed"
    program("refresh")
    assert listed(program)["people"][2:4] == ["published", "2"]

    people.unlink()
    assert listed(program)["people"][2] == "retired"
    early = program("views", "drop", "people")
    assert early.code == 3
    assert "run lambda-pipeline refresh first" in early.complaint
    program("refresh")
    assert listed(program)["people"][2:4] == ["retired", "2"]
    assert listed(program)["others"][2:4] == ["published", "3"]

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE VIEW public.mine AS SELECT id FROM sqlonfhir.people")
        hindered = program("views", "drop", "people")
        assert hindered.code == 3
        assert "depend on sqlonfhir.people" in hindered.complaint
        connection.execute("DROP VIEW public.mine")
        dropped = program("views", "drop", "people")
        assert (dropped.code, dropped.out) == (0, "dropped people__1, people__2\n")
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'sqlonfhir'::regnamespace AND relname LIKE 'people%'"
        ).fetchall()
    assert left == []
    assert "people" not in listed(program)
    assert program("views", "drop", "people").code == 3
    assert program("query", "others", "--count").out == "4\n"
