"""The benchmarks run, at sizes at which their times mean nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.full_build import require_equal_rows
from benchmarks.hand_written import hand_written
from benchmarks.pipeline import Pipeline, Sizes
from benchmarks.report import Finding
from lambda_pipeline.demo.hospital.population import generate
from lambda_pipeline.source import HapiSource, ResourceRange, ResourceRelation, open_tables

PROJECT = Path(__file__).parents[2]
TINY = ["--patients", "12", "--entries", "20", "--commits", "1", "--rounds", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What one run of all of them printed, and its JSON."""
    found = tmp_path_factory.mktemp("benchmarks") / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *TINY, "--json", str(found)],
        cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(found.read_text())


def test_every_benchmark_reports(run: tuple[str, dict[str, Any]]) -> None:
    printed, document = run
    assert [finding["name"] for finding in document["findings"]] == list(BENCHMARKS)
    for name in BENCHMARKS:
        assert f"\n{name}: " in printed
    assert all(finding["rows"] for finding in document["findings"])


def test_the_machine_is_told(run: tuple[str, dict[str, Any]]) -> None:
    printed, document = run
    assert document["facts"]["cores"] == os.cpu_count()
    assert document["facts"]["postgresql"].startswith("18.")
    assert f"postgresql {document['facts']['postgresql']}" in printed.splitlines()[0]


def test_every_view_is_compared_with_sql_written_by_hand(run: tuple[str, dict[str, Any]]) -> None:
    rows = {row["view"]: row for row in _finding(run, "full_build")["rows"]}
    assert set(rows) == set(hand_written())
    assert all(row["rows"] and row["time to by hand, x"] is not None for row in rows.values())


def test_live_answers_are_measured_with_the_entries_asked_for(run: tuple[str, dict[str, Any]]) -> None:
    assert [row["overlay entries"] for row in _finding(run, "merged_count")["rows"]] == [20, 20, 22]
    assert [row["entries"] for row in _finding(run, "overlay_read")["rows"]] == [2, 20]


def test_sql_that_gives_other_rows_is_not_compared(database_url: str, redis_url: str) -> None:
    pipeline = Pipeline(database_url, redis_url, Sizes())
    pipeline.demo.install()
    pipeline.demo.load(generate(5))
    view = pipeline.view("condition_simple")
    statement = hand_written()[view.name]
    parameters = {"resource_type": "Condition"}
    with pipeline.database.connect() as connection:
        stored = open_tables(connection, HapiSource("public", "UTC"), {"Condition"}).stored(
            "Condition", ResourceRange(), complete=False
        )
        compiled = ResourceRelation(view.select(stored.query), stored.parameters)
        require_equal_rows(connection, view, compiled, ResourceRelation(statement, parameters))
        with pytest.raises(AssertionError, match="condition_simple: 1 rows differ"):
            require_equal_rows(
                connection, view, compiled, ResourceRelation(statement + sql.SQL(" OFFSET 1"), parameters)
            )
    pipeline.close()


def test_records_of_ones_own_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "records"
    records.mkdir()
    name = {"use": "official", "family": "A"}
    (records / "Patient.ndjson").write_text(
        "".join(json.dumps({"resourceType": "Patient", "id": f"p{n}", "name": [name]}) + "\n" for n in range(3))
    )
    found = tmp_path / "found.json"
    assert main(["full_build", "--ndjson", str(records), "--rounds", "1", "--json", str(found)]) == 0
    document = json.loads(found.read_text())
    assert (document["facts"]["population"], document["facts"]["resources"]) == ("records", 3)
    rows = {row["view"]: row["rows"] for row in document["findings"][0]["rows"]}
    assert (rows["patient_simple"], rows["condition_simple"]) == (3, 0)
    capsys.readouterr()


def test_a_folder_without_records_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["full_build", "--ndjson", str(tmp_path)])
    assert "--ndjson" in capsys.readouterr().err


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["full_bild"]) == 2
    assert "unknown benchmark full_bild" in capsys.readouterr().err


def test_a_finding_is_shown_as_a_table() -> None:
    finding = Finding("reads", "how long", ("what", "taken, ms", "to first, x"), [("a", 12.0, 1.0), ("bcd", None, 0.5)])
    assert finding.text() == (
        "reads: how long\n\n"
        "what  taken, ms  to first, x\n"
        "----  ---------  -----------\n"
        "a            12         1.00\n"
        "bcd           -         0.50\n"
    )


def _finding(run: tuple[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return next(finding for finding in run[1]["findings"] if finding["name"] == name)
