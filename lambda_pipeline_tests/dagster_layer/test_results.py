"""What a query job leaves: the file, what was asked beside it, and where it is in the run's log."""

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lambda_pipeline_tests.support.worlds import Site

MARK = "Zqxmark"


def output(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Metadata of a query job's run."""
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def manifest(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(output(result)["manifest"]).read_text())
    return content


@pytest.mark.parametrize(
    ("job", "config", "asked"),
    [
        (
            "view_query",
            {"view": "patients", "columns": ["id"], "where": [{"column": "family", "operator": "ne", "value": MARK}]},
            {"view": "patients", "columns": ["id"], "where": [{"column": "family", "operator": "ne", "value": MARK}]},
        ),
        (
            "sql_query",
            {"sql": "SELECT id FROM patients WHERE family = :who OR 0.10 = :n", "parameters": {"who": MARK, "n": 0.25}},
            {
                "sql": "SELECT id FROM patients WHERE family = :who OR 0.10 = :n",
                "parameters": {"who": MARK, "n": "0.25"},
            },
        ),
    ],
)
def test_the_manifest_says_what_was_asked_and_of_which_definitions(
    night: Site, job: str, config: dict[str, Any], asked: dict[str, Any]
) -> None:
    """A file of last year could not be asked again: its manifest had counts and a SHA-256 alone."""
    result = night.run(job, {**config, "limit": 5})
    assert result.success
    found = manifest(result)
    options = {"mode": "live", "limit": 5, "freshness_target_s": None, "compare": False, "accept_quarantined": True}
    assert found["question"] == {**asked, **options}
    text = json.dumps(found["question"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found["question_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    (digest,) = [view.digest for view in night.deployment.views if view.name == "patients"]
    assert found["views"] == {"patients": digest}
    assert (found["run_id"], found["lambda_pipeline"]) == (result.run_id, version("lambda-pipeline"))
    assert found["answer"]["generation"] == 1
    assert found["answer"]["valid_as_of"]
    logged = [str(entry) for entry in night.instance.all_logs(result.run_id)]
    assert not [entry for entry in logged if MARK in entry], "values belong beside the rows, and nowhere else"


def test_the_log_of_a_query_ends_with_the_path_of_its_file(night: Site) -> None:
    result = night.run("view_query", {"view": "patients", "name": "everybody"})
    file = output(result)["file"]
    messages = [entry.user_message for entry in night.instance.all_logs(result.run_id) if not entry.is_dagster_event]
    assert messages[-1].startswith("3 rows, valid as of ")
    assert messages[-1].endswith(f"are in {file}")


def test_a_query_from_a_terminal_prints_the_path_of_its_file(night: Site, tmp_path: Path) -> None:
    """`dagster job execute`, as in the README, ended without a word about the file."""
    (tmp_path / "dagster").mkdir()
    config = tmp_path / "question.yaml"
    config.write_text(yaml.safe_dump({"view": "patients", "name": "printed"}))
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "execute", "-m", "lambda_pipeline.definitions", "-j", "view_query",
         "-c", str(config)],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path / "dagster")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"are in {tmp_path / 'home' / 'results' / 'printed.csv'}" in done.stdout + done.stderr
