"""`settings`: a table and JSON of what is in force, without servers."""

import json

import pytest

from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.programs import Program


def test_a_table_says_value_and_source(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://me:swordfish@192.0.2.1/hapi")
    monkeypatch.setenv("LAMBDA_PIPELINE_TTL_HOURS_BY_TYPE", '{"Observation": 96}')
    shown = program("settings")
    lines = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert shown.code == 0
    assert len(lines) == len(Settings.model_fields) + 2
    assert lines["HAPI_DB_URL"] == ["postgresql://me:***@192.0.2.1/hapi", "environment"]
    assert lines["LAMBDA_PIPELINE_POLL_INTERVAL_S"] == ["1.0", "default"]
    assert lines["LAMBDA_PIPELINE_TTL_HOURS_BY_TYPE"] == ['{"Observation":', "96.0}", "environment"]
    assert lines["REDIS_URL"] == ["∅", "default"]


def test_json_has_the_meaning_too(program: Program) -> None:
    found = {each["name"]: each for each in json.loads(program("settings", "--json").out)}
    assert set(found) == set(Settings.model_fields)
    assert found["parity_sample"]["source"] == "default"
    assert found["parity_sample"]["value"] == 200
    assert "recompute" in found["parity_sample"]["description"]


def test_a_value_that_is_not_valid_is_refused_as_everywhere(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_POOL_SIZE", "swordfish")
    refused = program("settings")
    assert refused.code == 2
    assert "LAMBDA_PIPELINE_POOL_SIZE" in refused.complaint
    assert "swordfish" not in refused.err
