"""What the launchpad shows and says: examples that can be pasted, and refusals that list what is allowed."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.orchestration.words import make_words
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.definitions import CONDITIONS, HEIGHTS, PATIENTS
from lambda_pipeline_tests.support.worlds import Site


def defined(folder: Path, *definitions: dict[str, Any]) -> dg.Definitions:
    folder.mkdir()
    for definition in definitions:
        (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
    return build_definitions(Settings(view_definitions=folder))


def refusal(definitions: dg.Definitions, job: str, config: dict[str, Any]) -> str:
    with pytest.raises(dg.DagsterInvalidConfigError) as raised:
        dg.validate_run_config(definitions.resolve_job_def(job), config)
    return str(raised.value)


def example_of(definitions: dg.Definitions, job: str) -> dict[str, Any]:
    description = definitions.resolve_job_def(job).description or ""
    _, example = description.split("```yaml\n")
    config: dict[str, Any] = yaml.safe_load(example.removesuffix("```\n"))
    return config


@pytest.mark.parametrize(
    ("job", "config", "said"),
    [
        ("view_query", {"view": "patient"}, "ViewName_one_of(conditions, heights, patients) got patient"),
        ("view_query", {"view": "patients", "mode": "fast"}, "ModeName_one_of(live, batch, source) got fast"),
        ("view_query", {"view": "patients", "format": "xlsx"}, "FormatName_one_of(csv, parquet) got xlsx"),
        (
            "view_query",
            {"view": "patients", "where": [{"column": "gendr", "value": "male"}]},
            "ColumnName_one_of(birth_date, code, family, gender, id, patient_id, profile, value) got gendr",
        ),
        (
            "view_query",
            {"view": "patients", "where": [{"column": "gender", "operator": "like", "value": "male"}]},
            "OperatorName_one_of(between, contains, eq, ge, gt, in, is-null, le, lt, ne) got like",
        ),
        ("parity_check", {"mode": "source"}, "ServedName_one_of(live, batch, both) got source"),
        (
            "sql_query",
            {"sql": {"env": "HOME"}},
            "sql: must be text; variables of the server's environment are not read",
        ),
        ("view_query", {"view": "patients", "name": {"env": "HOME"}}, "name: must be text; variables of the server's"),
    ],
)
def test_a_wrong_word_is_refused_with_the_words_that_are_allowed(
    tmp_path: Path, job: str, config: dict[str, Any], said: str
) -> None:
    """It said: not in enum type ViewName_76669a."""
    assert said in refusal(defined(tmp_path / "views", PATIENTS, CONDITIONS, HEIGHTS), job, config)


def test_each_deployment_of_one_process_has_its_own_words(tmp_path: Path) -> None:
    """Dagster keeps one type per name for the life of a process."""
    first, second = defined(tmp_path / "a", PATIENTS), defined(tmp_path / "b", PATIENTS, CONDITIONS)
    assert dg.validate_run_config(second.resolve_job_def("view_query"), {"view": "conditions", "columns": ["code"]})
    assert "ViewName_one_of(patients) got conditions" in refusal(first, "view_query", {"view": "conditions"})
    many = [make_words("ColumnName", [f"a_long_name_of_a_column_{number}" for number in range(n)]) for n in (99, 100)]
    assert many[0].__name__ != many[1].__name__
    assert max(len(words.__name__) for words in many) < 100


@pytest.mark.parametrize("job", ["view_query", "sql_query", "parity_check"])
def test_the_description_of_a_job_has_a_config_that_can_be_pasted(night: Site, job: str) -> None:
    assert dg.validate_run_config(night.definitions.resolve_job_def(job), example_of(night.definitions, job))
    assert night.run(job, example_of(night.definitions, job)).success


def test_examples_fit_the_shipped_views_and_a_folder_of_broken_files(tmp_path: Path) -> None:
    shipped = build_definitions(Settings())
    for job in ("view_query", "sql_query", "parity_check"):
        assert dg.validate_run_config(shipped.resolve_job_def(job), example_of(shipped, job))
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "patients.json").write_text(json.dumps({**PATIENTS, "select": []}))
    broken = build_definitions(Settings(view_definitions=tmp_path / "views"))
    for job in ("view_query", "sql_query"):
        assert dg.validate_run_config(broken.resolve_job_def(job), example_of(broken, job))
