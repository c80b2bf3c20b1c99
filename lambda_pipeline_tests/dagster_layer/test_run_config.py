"""Questions that cannot be asked are refused before a run exists, and without repeating a secret."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest

from lambda_pipeline.operations.parity import SERVED_MODES
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.orchestration.launch_config import (
    FormatName,
    ModeName,
    ServedName,
    environment_references,
    exact,
)
from lambda_pipeline.serving import Mode
from lambda_pipeline.serving.export import FileFormat
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.definitions import CONDITIONS, HEIGHTS, PATIENTS

SECRET = "postgresql://user:swordfish@host/db"
GENDER = {"column": "gender", "operator": "eq", "value": "male"}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder: Path = tmp_path_factory.mktemp("views")
    for definition in (PATIENTS, CONDITIONS, HEIGHTS):
        (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
    return build_definitions(Settings(view_definitions=folder))


@pytest.fixture(autouse=True)
def a_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET)


def refusal(definitions: dg.Definitions, job: str, config: dict[str, Any]) -> str:
    """Everything that is said about it, causes included, as the UI and GraphQL show it."""
    with pytest.raises((dg.DagsterInvalidConfigError, dg.DagsterConfigMappingFunctionError)) as raised:
        dg.validate_run_config(definitions.resolve_job_def(job), config)
    said, error = [], raised.value
    while error is not None:
        said.append(str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(said)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "view"),
        ({"view": "nope"}, "not in enum type ViewName_"),
        ({"view": "patients", "colums": ["gender"]}, "colums"),
        ({"view": "patients", "columns": ["nope"]}, "not in enum type ColumnName_"),
        ({"view": "patients", "columns": ["code"]}, "view patients has no column code"),
        ({"view": "patients", "columns": ["gender", "gender"]}, "a column is asked for twice"),
        ({"view": "patients", "where": [{**GENDER, "column": "code"}]}, "there is no column 'code'"),
        ({"view": "patients", "where": [{**GENDER, "operator": "like"}]}, "not in enum type OperatorName_"),
        (
            {"view": "heights", "where": [{"column": "value", "operator": "contains", "value": "1"}]},
            "does not fit type",
        ),
        (
            {"view": "heights", "where": [{"column": "value", "operator": "gt", "value": "tall"}]},
            "the value is not a number",
        ),
        ({"view": "patients", "where": [{**GENDER, "operator": "in", "value": []}]}, "at least one value"),
        ({"view": "patients", "where": [{**GENDER, "value": {"a": 1}}]}, "must be text"),
        ({"view": "patients", "limit": 0}, "greater than or equal to 1"),
        ({"view": "patients", "preview": 1000}, "less than or equal to 100"),
        ({"view": "patients", "mode": "fast"}, "not in enum type ModeName"),
        ({"view": "patients", "format": "xlsx"}, "not in enum type FormatName"),
        ({"view": "patients", "name": "../../etc/passwd"}, "letters, digits"),
        ({"view": "patients", "freshness_target_s": -1.0}, "greater than 0"),
        ({"view": "patients", "resources": {}}, "resources"),
        ({"view": "patients", "execution": {}}, "execution"),
    ],
)
def test_a_bad_view_query_is_refused_before_launch(
    definitions: dg.Definitions, config: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(definitions, "view_query", config)


@pytest.mark.parametrize(
    ("job", "config", "first_line"),
    [
        ("view_query", {"view": "patients", "limit": 0}, "limit: should be greater than or equal to 1"),
        ("view_query", {"view": "patients", "preview": 1000}, "preview: should be less than or equal to 100"),
        ("view_query", {"view": "patients", "name": "../../x"}, "name: letters, digits, _, - and . only"),
        ("view_query", {"view": "patients", "name": {"env": "A_SECRET"}}, "name: must be text"),
        (
            "view_query",
            {"view": "patients", "freshness_target_s": -1.0},
            "freshness_target_s: should be greater than 0",
        ),
        ("view_query", {"view": "patients", "columns": ["code"]}, "view patients has no column code"),
        ("view_changes", {"view": "patients", "columns": ["code"]}, "view patients has no column code"),
        ("view_counts", {"view": "patients", "by": ["gender:month"]}, "column gender is no date"),
        ("view_counts", {"view": "patients", "by": ["gender"], "age_bands": [5, 5]}, "age bands must rise"),
        ("view_counts", {"view": "patients", "by": ["gender"], "age_at": "today"}, "age_at is no day"),
        ("sql_query", {"sql": {"env": "A_SECRET"}}, "sql: must be text"),
        ("sql_query", {"sql": "SELECT 1", "limit": 0}, "limit: should be greater than or equal to 1"),
        ("sql_query", {"sql": "SELECT 1", "parameters": ["a"]}, "parameters: must be values by the names"),
        ("sql_query", {"sql": "SELECT 1", "parameters": {"a": None}}, "the statement has no parameter :a"),
        ("sql_query", {"sql": "SELECT 1", "compare": True, "mode": "source"}, "compare with mode source: a recompute"),
        ("parity_check", {"sample": 0}, "sample: should be greater than or equal to 1"),
        ("parity_check", {"everything": True, "sample": 3}, "everything and sample exclude each other"),
    ],
)
def test_the_first_line_says_what_is_wrong(
    definitions: dg.Definitions, job: str, config: dict[str, Any], first_line: str
) -> None:
    """It was: the config mapping function has thrown an unexpected error."""
    with pytest.raises(dg.DagsterInvalidConfigError) as raised:
        dg.validate_run_config(definitions.resolve_job_def(job), config)
    assert str(raised.value).splitlines()[0].startswith(first_line)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "sql"),
        ({"sql": ""}, "there is no statement"),
        ({"sql": "DELETE FROM patients"}, "only a SELECT may run here"),
        ({"sql": "WITH d AS (DELETE FROM patients RETURNING 1) SELECT * FROM d"}, "DELETE writes"),
        ({"sql": "SELECT 1; SELECT 2"}, "several statements"),
        ({"sql": "SELECT * FROM sqlonfhir.patients"}, "named with a schema"),
        ({"sql": "SELECT * FROM hfj_resource"}, "no view hfj_resource"),
        ({"sql": "SELECT pg_sleep(60)"}, "may not be"),
        ({"sql": "SELECT * FROM patients WHERE id = :id"}, "no value for :id"),
        ({"sql": "SELECT * FROM patients", "parameters": {"id": "a"}}, "no parameter :id"),
        ({"sql": "SELECT :a", "parameters": {"a": {"b": 1}}}, "parameter :a"),
        ({"sql": 5}, "must be text"),
    ],
)
def test_a_bad_sql_query_is_refused_before_launch(
    definitions: dg.Definitions, config: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(definitions, "sql_query", config)


ENVIRONMENT = {"env": "A_SECRET"}


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("view_query", {"view": ENVIRONMENT}),
        ("view_query", {"view": "patients", "columns": [ENVIRONMENT]}),
        ("view_query", {"view": "patients", "where": [{**GENDER, "column": ENVIRONMENT}]}),
        ("view_query", {"view": "patients", "where": [{**GENDER, "value": ENVIRONMENT}]}),
        ("view_query", {"view": "patients", "name": ENVIRONMENT}),
        ("view_query", {"view": "patients", "mode": ENVIRONMENT}),
        ("view_query", {"view": "patients", "limit": ENVIRONMENT}),
        ("view_query", {"view": "patients", "freshness_target_s": ENVIRONMENT}),
        ("sql_query", {"sql": ENVIRONMENT}),
        ("sql_query", {"sql": "SELECT :a", "parameters": {"a": ENVIRONMENT}}),
        ("sql_query", {"sql": "SELECT :env", "parameters": {"a": ENVIRONMENT, "env": "x"}}),
    ],
)
def test_no_field_gives_away_a_variable_of_the_server(
    definitions: dg.Definitions, job: str, config: dict[str, Any]
) -> None:
    assert "swordfish" not in refusal(definitions, job, config)


def test_the_launchpad_offers_the_words_that_the_layers_take() -> None:
    """Dagster shows enumerations and no Literals, so that the words stand twice: here they are compared."""
    assert {word.value for word in ModeName} == set(get_args(Mode))
    assert {word.value for word in FormatName} == set(get_args(FileFormat))
    assert {word.value for word in ServedName} == {*SERVED_MODES, "both"}


def test_good_questions_are_accepted(definitions: dg.Definitions) -> None:
    for config in (
        {"view": "patients"},
        {"view": "patients", "columns": ["gender", "id"], "where": [GENDER], "limit": 3, "format": "parquet"},
        {"view": "heights", "where": [{"column": "value", "operator": "between", "value": [150, 180.5]}]},
        {"view": "patients", "where": [{"column": "family", "operator": "is-null", "value": True}], "mode": "source"},
        {"view": "patients", "where": [{**GENDER, "operator": "in", "value": ["male", "other"]}], "name": "men"},
    ):
        assert dg.validate_run_config(definitions.resolve_job_def("view_query"), config)
    sql = {"sql": "SELECT count(*) FROM patients WHERE gender = ANY (:genders)", "parameters": {"genders": ["male"]}}
    assert dg.validate_run_config(definitions.resolve_job_def("sql_query"), sql)


def test_environment_references_are_found_wherever_they_are() -> None:
    config = {
        "limit": {"env": "A"},
        "where": [{"value": {"env": "B"}}],
        "text": "env",
        "parameters": {"env": "C", "x": 1},
    }
    assert environment_references(config) == ["limit", "where[0].value"]


def test_decimals_of_a_configuration_keep_the_digits_that_were_written() -> None:
    assert exact([0.1, 6.50, 7, "x", True]) == [Decimal("0.1"), Decimal("6.5"), 7, "x", True]
