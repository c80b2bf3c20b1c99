"""Saved queries from a terminal: by name, from files, listed, checked."""

import json
from pathlib import Path

import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.programs import Program

BY_GENDER = """\
-- @name: by_gender
-- @title: Patients of one gender
-- @status: active
-- @param: gender code As FHIR writes it. (example: male)
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/patient_simple as person
SELECT person.patient_id FROM person WHERE person.gender = :gender ORDER BY 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "by_gender.sql").write_text(BY_GENDER)
    (folder / "plain.sql").write_text("SELECT count(*) AS n FROM patient_simple WHERE gender = :g")
    monkeypatch.setenv("LAMBDA_PIPELINE_QUERIES", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_query_is_asked_by_its_name_and_by_its_file(published: DemoHapi, program: Program, folder: Path) -> None:
    for word in ("by_gender", "queries/by_gender.sql"):
        result = program("sql", word, "--param", "gender=female", "--format", "csv", "--compare")
        assert (result.code, result.out.split()) == (0, ["patient_id", "dora", "eva"])
    assert program("sql", "plain", "--param", "g=male", "--format", "csv").out.split() == ["n", "3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["by_gendr"], "there is no saved query by_gendr (did you mean by_gender? saved queries: by_gender, plain)"),
        (["by_gender"], "by_gender: no value for :gender code (its parameters: :gender code)"),
        (["by_gender", "--param", "gendr=x"], "no parameter :gendr (did you mean :gender? its"),
        (["by_gender", "--param", "gender= x"], "parameter :gender code: the text is not a code"),
        (["broken"], "broken.sql: line 1: @nam is not an annotation (did you mean @name: ...?)"),
        (["both"], "both is a saved query and a file of this folder (./both is the file"),
        ([], "name a saved query or a file; --list shows the saved queries"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_without_a_server(
    program: Program, folder: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.sql").write_text("-- @nam: x\nSELECT 1 AS a")
    (folder / "both.sql").write_text("SELECT 1 AS a")
    (folder.parent / "both").write_text("SELECT 1 AS a")
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    if words == ["by_gendr"]:
        for name in ("broken", "both"):
            (folder / f"{name}.sql").unlink()
    result = program("sql", *words)
    assert (result.code, result.out) == (3, "")
    assert said in " ".join(result.err.split())


def test_queries_are_listed(program: Program, folder: Path) -> None:
    listed = program("queries", "list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[2:]] == ["by_gender", "plain"]
    assert ":gender code" in listed.out
    assert program("sql", "--list").out == listed.out
    (folder / "latin.sql").write_bytes(b"-- \xe9")
    again = program("queries", "list")
    assert (again.code, again.out) == (0, listed.out)
    assert "warning: latin.sql: $: is not UTF-8" in again.err


def test_lint_checks_the_folder_or_files(program: Program, folder: Path, tmp_path: Path) -> None:
    assert program("queries", "lint").code == 0
    file = tmp_path / "other.sql"
    file.write_text("-- @name: x\n-- @sponsor: y\nSELECT gendr FROM patient_simple")
    result = program("queries", "lint", str(file))
    assert (result.code, result.out) == (
        1, "other.sql: line 3: patient_simple has no column gendr (did you mean gender?)\n",
    )  # fmt: skip
    assert result.err.splitlines() == [
        "warning: other.sql: line 2: @sponsor is not an annotation", "1 files, 1 problems in 1 of them",
    ]  # fmt: skip
    (folder / "again.sql").write_text("-- @name: PLAIN\nSELECT 1 AS a")
    assert program("queries", "lint").code == 1


def test_libraries_are_built_and_asked(published: DemoHapi, program: Program, folder: Path, tmp_path: Path) -> None:
    (folder / "plain.sql").unlink()
    assert program("queries", "build", "--out", str(tmp_path / "out")).code == 0
    file = tmp_path / "out" / "by_gender.json"
    first = file.read_bytes()
    assert program("queries", "build", "--out", str(tmp_path / "out")).code == 0
    assert file.read_bytes() == first
    (printed,) = program("queries", "build").out.splitlines()
    assert json.loads(printed) == json.loads(first)
    by_file = program("sql", str(file), "--param", "gender=female", "--format", "csv")
    assert (by_file.code, by_file.out.split()) == (0, ["patient_id", "dora", "eva"])
    (folder / "by_gender.sql").unlink()
    (folder / "anything.json").write_bytes(first)
    assert program("sql", "by_gender", "--param", "gender=female", "--count").out == "2\n"
    assert program("queries", "lint").code == 0


def test_nothing_is_built_where_one_query_cannot_be(program: Program, folder: Path, tmp_path: Path) -> None:
    result = program("queries", "build", "--out", str(tmp_path / "out"))
    assert (result.code, (tmp_path / "out").exists()) == (3, False)
    assert "plain.sql: $: :g has no type (declare it: @param: g string)" in result.err
    assert "is the folder of the saved queries" in program("queries", "build", "--out", str(folder)).err
