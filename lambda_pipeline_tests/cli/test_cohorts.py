"""`ask` and `cohorts`: the number, the chart, files of persons, the statement, problems."""

import csv
import json
from pathlib import Path

import pytest

from lambda_pipeline.cohorts.jsonschema import json_schema_text
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program
from lambda_pipeline_tests.support.servers import PROJECT

DIABETICS = """
name: Diabetics
rules:
  - name: With diabetes
    match: ALL
    members:
      - view: condition_simple
        where: [{column: snomed_code, operator: eq, value: "44054006"}]
  - name: Born before 1955
    match: ALL
    members:
      - age: {at_least: 70, at: "2026"}
breakdown: {age_at: "2026"}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "diabetics.yaml"
    path.write_text(DIABETICS)
    return str(path)


def test_a_cohort_is_counted_with_attrition_and_breakdown(published: DemoHapi, program: Program, file: str) -> None:
    published.update(named_patient("carl", "male", "1950"))
    assert program("poll").code == 0
    result = program("ask", file)
    assert result.code == 0
    assert result.out.splitlines() == [
        "Diabetics: 1 persons",
        "",
        "rule                                              remaining  lost  excluded alone",
        "────────────────  ──────────────────────────────  ─────────  ────  ──────────────",
        "all persons       ██████████████████████████████          5     0",
        "With diabetes     ██████████████████                      3     2               2",
        "Born before 1955  ██████                                  1     2               3",
        "",
        "sex   age  persons",
        "────  ───  ───────",
        "male  65+        1",
    ]
    assert "1 persons, valid as of" in result.err
    assert "overlay" in result.err


def test_json_has_every_count_and_no_id(published: DemoHapi, program: Program, file: str) -> None:
    result = program("ask", file, "--json", "--mode", "batch")
    answer = json.loads(result.out)
    assert (answer["persons"], answer["mode"], answer["generation"]) == (1, "batch", 1)
    assert [step["remaining"] for step in answer["attrition"]] == [5, 3, 1]
    assert "adam" not in result.out + result.err


def test_persons_go_to_a_file_that_only_its_owner_reads(
    published: DemoHapi, program: Program, file: str, tmp_path: Path
) -> None:
    target = tmp_path / "persons.csv"
    result = program("ask", file, "--persons", str(target))
    assert result.code == 0
    with target.open(newline="") as opened:
        assert list(csv.reader(opened)) == [["person_id"], ["adam"]]
    assert target.stat().st_mode & 0o777 == 0o600
    assert "adam" not in result.out + result.err
    refused = program("ask", file, "--persons", str(tmp_path / "missing" / "persons.csv"))
    assert refused.code == 3


def test_the_statement_is_shown_and_not_run_and_can_be_asked_as_sql(
    published: DemoHapi, program: Program, file: str, tmp_path: Path
) -> None:
    shown = program("ask", file, "--show-sql")
    assert shown.code == 0
    assert "rule_1_with_diabetes" in shown.out
    assert '-- :p1_0 = "44054006"' in shown.out
    assert "44054006" not in shown.out.split("WITH", 1)[1], "values are parameters"
    statement = tmp_path / "statement.sql"
    statement.write_text(shown.out)
    rows = program("sql", str(statement), "--param", "p1_0=44054006", "--format", "csv")
    assert rows.code == 0, rows.err
    assert "rule,1,,,1,4" in rows.out.splitlines()


def test_what_cannot_be_answered_is_named(published: DemoHapi, program: Program, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(DIABETICS.replace("condition_simple", "condition_simpl"))
    result = program("ask", str(path))
    assert (result.code, result.out) == (3, "")
    assert "$.rules[0].members[0].view: there is no view condition_simpl" in result.err
    assert "did you mean condition_simple?" in result.err
    assert "[unknown-view]" in result.err


def test_definitions_are_linted_without_a_server(program: Program, tmp_path: Path) -> None:
    files = [str(path) for path in sorted((PROJECT / "sql" / "cohorts").glob("*.yaml"))]
    assert program("cohorts", "lint", *files).code == 0
    path = tmp_path / "wrong.yaml"
    path.write_text(DIABETICS.replace("at_least: 70", "at_least: 70, at_most: 60") + "typo: 1\n")
    result = program("cohorts", "lint", str(path))
    assert result.code == 1
    assert "$.typo: is not a key here" in result.out
    path.write_text(DIABETICS.replace("at_least: 70", "at_least: 70, at_most: 60"))
    assert "[contradiction]" in program("cohorts", "lint", str(path)).out


def test_the_schema_that_is_checked_in_is_current(program: Program) -> None:
    checked_in = (PROJECT / "docs" / "cohort.schema.json").read_text()
    assert checked_in == json_schema_text(), "lambda-pipeline cohorts schema > docs/cohort.schema.json"
    assert program("cohorts", "schema").out == checked_in


def test_code_sets_are_listed_with_their_digests(program: Program) -> None:
    result = program("cohorts", "code-sets")
    assert result.code == 0
    definition = (PROJECT / "sql" / "cohorts" / "men_with_diabetes.yaml").read_text()
    (digest,) = [line.split()[-1] for line in definition.splitlines() if line.startswith("  diabetes_mellitus:")]
    assert digest in result.out
