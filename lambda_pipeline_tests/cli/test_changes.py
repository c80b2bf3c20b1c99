"""`changes`: what came and went since the published generation, from a terminal."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program


@pytest.fixture
def day(published: DemoHapi, program: Program) -> None:
    """Adam's birth date is corrected, Bert leaves, and Fred comes."""
    published.update(named_patient("adam", "male", "1951-01-31"))
    published.delete("Patient", "bert")
    published.update(named_patient("fred", "male", "2000-05-05"))
    assert program("poll").code == 0


@pytest.mark.usefixtures("day")
def test_rows_that_came_and_went_are_marked(program: Program) -> None:
    asked = program("changes", "patient_simple", "--columns", "birth_date", "--format", "csv")
    assert asked.code == 0
    assert list(csv.reader(io.StringIO(asked.out))) == [
        ["_change", "_id", "birth_date"],
        ["removed", "adam", "1950-01-31"],
        ["added", "adam", "1951-01-31"],
        ["removed", "bert", "1960"],
        ["added", "fred", "2000-05-05"],
    ]
    assert asked.err.startswith("changes since ")
    assert "4 rows, valid as of" in asked.err
    assert "batch alone 5; added 2, removed 2" in asked.err


@pytest.mark.usefixtures("day")
def test_filters_count_and_limit_are_those_of_a_query(program: Program) -> None:
    recent = ("changes", "patient_simple", "--where", "birth_date", "gt", "1955")
    assert program(*recent, "--count").out == "2\n"
    limited = program(*recent, "--limit", "1", "--columns", "id", "--format", "jsonl")
    assert json.loads(limited.out) == {"_change": "removed", "_id": "bert", "id": "bert"}
    assert "1 of 2 rows shown" in limited.err


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_rows_can_go_to_a_file(program: Program, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"day.{suffix}"
    asked = program("changes", "patient_simple", "--columns", "id,birth_date", "--out", str(file))
    assert (asked.code, asked.out) == (0, "")
    assert f"4 rows are in {file}" in asked.err
    if suffix == "parquet":
        assert pq.read_table(file).column("_change").to_pylist() == ["removed", "added", "removed", "added"]
    assert json.loads((tmp_path / "day.manifest.json").read_text())["answer"]["counts"]["added"] == 2


def test_a_file_of_another_kind_is_refused_before_anything_is_asked(program: Program, tmp_path: Path) -> None:
    asked = program("changes", "patient_simple", "--out", str(tmp_path / "day.xlsx"))
    assert (asked.code, asked.out) == (3, "")
    assert "end it with .csv or .parquet" in asked.err
