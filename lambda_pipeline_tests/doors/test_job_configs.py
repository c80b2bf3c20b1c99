"""Config of Dagster's jobs, validated in this process as the launchpad and the GraphQL API do."""

import json
import random
from contextlib import suppress
from typing import Any

import dagster as dg
import pytest
import yaml

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import MEASURED
from lambda_pipeline_tests.support.definitions import DEFINITIONS

USUAL: dict[str, dict[str, Any]] = {
    "view_query": {
        "view": "patients", "columns": ["id", "gender"], "limit": 5, "name": "men", "preview": 3, "mode": "live",
        "format": "parquet", "freshness_target_s": 5.0, "accept_quarantined": True,
        "where": [{"column": "gender", "operator": "eq", "value": "male"},
                  {"column": "birth_date", "operator": "between", "value": ["1970", "1980"]}],
    },
    "view_changes": {
        "view": "conditions", "columns": ["id"], "limit": 5, "name": "day", "format": "csv",
        "where": [{"column": "code", "operator": "eq", "value": "44054006"}],
    },
    "view_counts": {
        "view": "patients", "by": ["gender", "birth_date:age"], "age_bands": [18], "age_at": "2026-01-31", "limit": 5,
        "where": [{"column": "gender", "operator": "eq", "value": "male"}],
    },
    "sql_query": {
        "sql": "SELECT count(*) AS n FROM patients WHERE gender = :a", "parameters": {"a": "male"}, "compare": True,
        "limit": 5, "name": "men", "preview": 0, "mode": "batch", "format": "csv",
    },
    "parity_check": {"mode": "both", "everything": False, "sample": 10, "seed": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("views")
    for definition in (*DEFINITIONS, MEASURED):
        (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
    return build_definitions(load_settings().model_copy(update={"view_definitions": folder}))


def config(choose: random.Random, job: str) -> Any:
    usual = USUAL[job]
    kept = {name: value for name, value in usual.items() if name in {"view", "sql"} or choose.random() < 0.4}
    return hostile.mutated(choose, {"kept": kept}, choose.choice([0, 1, 1, 2]))


@pytest.mark.parametrize("part", hostile.parts(160, 40))
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_config_is_valid_or_refused_with_a_reason(definitions: dg.Definitions, wrapped: bool, part: int) -> None:
    choose = hostile.chooser(f"configs {wrapped}", part)
    accepted = 0
    for _ in range(20):
        job = choose.choice(list(USUAL))
        made = config(choose, job)
        given = made.get("kept", made) if isinstance(made, dict) else made
        if wrapped:
            given = hostile.mutated(choose, {"ops": {job: {"config": given}}}, choose.choice([0, 1]))
        if choose.random() < 0.3:
            given = _through_yaml(given)
        if not isinstance(given, dict):
            continue
        with suppress(dg.DagsterInvalidConfigError):
            dg.validate_run_config(definitions.resolve_job_def(job), given)
            accepted += 1
    assert accepted or wrapped


def _through_yaml(given: Any) -> Any:
    try:
        return yaml.safe_load(yaml.safe_dump(given))
    except (yaml.YAMLError, RecursionError, ValueError, UnicodeEncodeError):
        return given
