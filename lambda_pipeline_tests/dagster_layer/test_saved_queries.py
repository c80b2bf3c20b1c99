"""The job `sql_query` asks saved queries by name, with the parameters that they declare."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline_tests.dagster_layer.test_runs import output, said
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site

BORN = """\
-- @name: born_before
-- @param: day date (example: 1980)
-- @param: genders code
-- @relatedDependency: patients as p
SELECT p.id FROM p WHERE p.birth_date < :day AND p.gender = :genders
"""


@pytest.fixture
def saved(night: Site, tmp_path: Path) -> Site:
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "born_before.sql").write_text(BORN)
    (folder / "plain.sql").write_text("SELECT count(*) AS n FROM conditions WHERE code = ANY (:codes)")
    (folder / "broken.sql").write_text("-- @nam: x\nSELECT 1 AS a")
    (folder / "other_views.sql").write_text("-- @relatedDependency: heights\nSELECT id FROM heights")
    night.setenv("LAMBDA_PIPELINE_QUERIES", str(folder))
    night.define(PATIENTS, CONDITIONS)
    return night


def test_a_saved_query_is_asked_by_its_name(saved: Site) -> None:
    for logical_id, born in [("d", "1950"), ("e", "1989-12-31"), ("f", "1990")]:
        saved.demo.update(patient(logical_id, "male", birthDate=born))
    saved.tick()
    parameters = {"day": "1990", "genders": "male"}
    result = saved.run("sql_query", {"query": "born_before", "parameters": parameters, "compare": True})
    assert result.success, said(result)
    found = output(result)
    assert (found["rows"], found["added"]) == (2, 2)
    plain = saved.run("sql_query", {"query": "plain", "parameters": {"codes": ["44054006"]}})
    assert output(plain)["rows"] == 1
    text = "-- @param: g code\nSELECT id FROM patients WHERE gender = :g"
    assert saved.run("sql_query", {"sql": text, "parameters": {"g": "male"}}).success


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "state either query, the name of a saved query, or sql"),
        ({"query": "plain", "sql": "SELECT 1 AS a"}, "state either query, the name of a saved query, or sql"),
        ({"query": "broken"}, "QueryName_one_of(born_before, other_views, plain) got broken"),
        ({"query": "born_before"}, "born_before: no value for :day date (its parameters: :day date, :genders code)"),
        ({"query": "born_before", "parameters": {"days": "1980"}}, "no parameter :days (did you mean :day?"),
        ({"query": "born_before", "parameters": {"day": "1980-13", "genders": "male"}}, "parameter :day date"),
        ({"query": "born_before", "parameters": {"day": 1980, "genders": "male"}}, "the value is not text"),
        ({"query": "plain"}, "no value for :codes"),
        ({"query": "other_views"}, "no view has the URL or name heights"),
        ({"sql": "-- @param: n integer\nSELECT :n AS n", "parameters": {"n": 1.5}}, "parameter :n integer"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused_before_a_run(saved: Site, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError) as raised:
        dg.validate_run_config(saved.definitions.resolve_job_def("sql_query"), config)
    assert reason in str(raised.value)


def test_a_folder_without_queries_leaves_the_job_as_it_was(saved: Site, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    saved.setenv("LAMBDA_PIPELINE_QUERIES", str(tmp_path / "none"))
    saved.define(PATIENTS, CONDITIONS)
    assert saved.run("sql_query", {"sql": "SELECT id FROM patients"}).success


def test_a_view_whose_file_broke_later_is_asked_as_it_is_published(saved: Site) -> None:
    saved.define({**PATIENTS, "select": []}, CONDITIONS)
    parameters = {"day": "1990", "genders": "male"}
    assert saved.run("sql_query", {"query": "born_before", "parameters": parameters}).success
