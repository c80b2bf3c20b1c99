"""Refreshes and questions as Dagster runs them, on real servers."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from lambda_pipeline.orchestration.resources import ServingResource
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.definitions import CONDITIONS, HEIGHTS, PATIENTS
from lambda_pipeline_tests.support.hospital import condition, patient
from lambda_pipeline_tests.support.worlds import Site

WIDER = {
    **PATIENTS,
    "select": [
        {
            "column": [
                *[each for each in PATIENTS["select"][0]["column"] if each["name"] != "family"],  # type: ignore[index]
                {"name": "active", "path": "active", "type": "boolean"},
            ]
        }
    ],
}


def said(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed, as its page shows it."""
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            error = data.error
            while error:
                texts.append(error.message)
                error = error.cause
            if data.user_failure_data:
                texts.append(data.user_failure_data.description or "")
    return "\n".join(texts)


def output(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Metadata of a query job's run."""
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_a_refresh_reports_every_view_with_counts_and_checks(night: Site) -> None:
    patients = night.latest("batch", "patients")
    assert patients is not None
    metadata = patients.metadata
    assert metadata["dagster/row_count"].value == 3
    assert (metadata["generation"].value, metadata["made"].value, metadata["quarantined"].value) == (1, "full", 0)
    assert {column.name for column in metadata["dagster/column_schema"].value.columns} >= {"id", "gender"}
    for view in ("patients", "conditions"):
        key = dg.AssetKey(["batch", view])
        for check in ("rows_plausible", "quarantine_empty"):
            records = night.instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(key, check), 1
            )
            assert records[0].event is not None
            assert records[0].event.dagster_event.asset_check_evaluation_data.passed


def test_a_selected_view_is_reported_alone_but_all_are_refreshed(night: Site) -> None:
    night.demo.update(patient("d"))
    night.demo.update(condition("dm-d", "d"))
    result = night.run("nightly_refresh", asset_selection=[dg.AssetKey(["batch", "patients"])])
    assert result.success
    reported = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert reported == {"batch/patients", "merged/patients", "hapi/Patient"}
    generation = night.deployment.serving.generation()
    assert generation is not None
    assert {view.row_count for view in generation.views.values()} == {4}


def test_a_refresh_that_fails_fails_the_run_and_every_view_keeps_its_generation(night: Site) -> None:
    night.demo.update(patient("d"))
    with night.deployment.database.connect() as connection:
        connection.execute("DROP TABLE sqlonfhir.patients__1, sqlonfhir.conditions__1 CASCADE")
        connection.execute("CREATE TABLE sqlonfhir.patients__2 (); CREATE TABLE sqlonfhir.conditions__2 ()")
    result = night.refresh()
    assert not result.success
    assert "no view could be made, first conditions" in said(result)
    assert "nothing was published" in said(result)
    assert not result.get_asset_materialization_events()
    for view in ("patients", "conditions"):
        held = night.latest("batch", view)
        assert held is not None
        assert held.metadata["generation"].value == 1


def test_a_view_that_cannot_be_made_as_defined_goes_on_as_published(night: Site) -> None:
    night.define(WIDER, CONDITIONS)
    night.demo.update(patient("d"))
    with night.deployment.database.connect() as connection:
        connection.execute("CREATE TABLE sqlonfhir.patients__2 ()")
    run = night.refresh()
    assert not run.success
    for view in ("patients", "conditions"):
        made = night.latest("batch", view)
        assert made is not None
        assert made.metadata["generation"].value == 2
    assert "family" in night.deployment.serving.query("patients", mode="batch").frame
    evaluations = {(e.asset_key.path[-1], e.check_name): e for e in run.get_asset_check_evaluations()}
    found = evaluations["patients", "definition"]
    assert (found.passed, found.metadata["problem"].value) == (False, 'relation "patients__2" already exists')


def test_changed_columns_are_told(night: Site) -> None:
    night.define(WIDER, CONDITIONS)
    assert night.refresh().success
    patients, conditions = night.latest("batch", "patients"), night.latest("batch", "conditions")
    assert patients is not None
    assert conditions is not None
    assert patients.metadata["schema_change"].value == {"added": ["active"], "removed": ["family"]}
    assert (patients.metadata["made"].value, conditions.metadata["made"].value) == ("full", "incremental")
    assert "schema_change" not in conditions.metadata


def test_what_cannot_be_read_is_counted_and_warned_of(night: Site) -> None:
    write_raw(night.demo, "Patient", "broken", "{no json")
    assert night.refresh().success
    patients = night.latest("batch", "patients")
    assert patients is not None
    assert patients.metadata["quarantined"].value == 1
    key = dg.AssetCheckKey(dg.AssetKey(["batch", "patients"]), "quarantine_empty")
    record = night.instance.event_log_storage.get_asset_check_execution_history(key, 1)[0]
    assert record.event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_full_rebuild_can_be_asked_for(night: Site) -> None:
    assert night.run("nightly_refresh", {"ops": {"batch_views": {"config": {"full": True}}}}).success
    patients = night.latest("batch", "patients")
    assert patients is not None
    assert patients.metadata["made"].value == "full"


def test_materializing_the_speed_layer_makes_it_anew(night: Site) -> None:
    night.tick()
    night.demo.update(patient("d"))
    job = night.definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=night.instance, asset_selection=[dg.AssetKey("speed_layer")], raise_on_error=False
    )
    assert result.success
    speed = night.latest("speed_layer")
    assert speed is not None
    assert speed.metadata["rebuilt"].value == "asked for"
    assert speed.metadata["dagster/row_count"].value == 1
    assert night.deployment.serving.query("patients").row_count == 4


def test_a_view_query_writes_the_merged_rows_and_leaves_counts_only(night: Site) -> None:
    night.tick()
    night.demo.update(patient("a", "female"))
    night.demo.update(patient("n", "male"))
    night.tick()
    config = {"view": "patients", "columns": ["id"], "where": [{"column": "gender", "value": "male"}], "name": "men"}
    result = night.run("view_query", config)
    assert result.success, said(result)
    found = output(result)
    assert {name: found[name] for name in ("dagster/row_count", "batch_count", "added", "removed", "generation")} == {
        "dagster/row_count": 2, "batch_count": 2, "added": 1, "removed": 1, "generation": 1,
    }  # fmt: skip
    assert found["sources"] == "batch generation 1, overlay"
    assert "preview" not in found
    with Path(found["file"]).open(newline="") as file:
        assert {row["id"] for row in csv.DictReader(file)} == {"b", "n"}
    assert json.loads(Path(found["manifest"]).read_text())["answer"]["row_count"] == 2
    assert result.run_id not in found["file"]


def test_the_changes_of_a_day_are_a_file_and_leave_counts_only(night: Site) -> None:
    night.demo.update(patient("a", "female"))
    night.demo.update(patient("n", "male"))
    night.tick()
    result = night.run("view_changes", {"view": "patients", "columns": ["gender"], "name": "day"})
    assert result.success, said(result)
    found = output(result)
    assert {name: found[name] for name in ("dagster/row_count", "batch_count", "added", "removed")} == {
        "dagster/row_count": 3, "batch_count": 3, "added": 2, "removed": 1,
    }  # fmt: skip
    assert "preview" not in found
    with Path(found["file"]).open(newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [
            ("removed", "a", "male"),
            ("added", "a", "female"),
            ("added", "n", "male"),
        ]
    manifest = json.loads(Path(found["manifest"]).read_text())
    assert (manifest["question"]["changes"], manifest["answer"]["row_count"]) == ("patients", 3)


def test_counts_by_group_are_a_file_and_small_ones_are_not_shown(night: Site) -> None:
    config = {"view": "patients", "by": ["gender", "birth_date:month"], "name": "groups"}
    result = night.run("view_counts", config)
    assert result.success, said(result)
    found = output(result)
    assert (found["dagster/row_count"], found["rows"]) == (0, 0)
    night.setenv("LAMBDA_PIPELINE_DISCLOSURE_MIN_CELL", "0")
    load_settings.cache_clear()
    found = output(night.run("view_counts", config))
    assert "male" not in str(found)
    with Path(found["file"]).open(newline="") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [("female", "", "1"), ("male", "", "2")]


def test_limit_and_preview_come_after_the_merge(night: Site) -> None:
    result = night.run("view_query", {"view": "patients", "columns": ["id", "gender"], "limit": 2, "preview": 1})
    found = output(result)
    assert (found["dagster/row_count"], found["rows"]) == (3, 2)
    (record,) = found["preview"] if isinstance(found["preview"], list) else found["preview"].records
    assert set(record.data) == {"id", "gender"}


def test_a_sql_query_with_parameters_writes_parquet(night: Site) -> None:
    config = {
        "sql": "SELECT p.gender, count(*) AS n FROM patients p JOIN conditions c ON c.patient_id = p.id"
        " WHERE c.code = :code GROUP BY 1 ORDER BY 1",
        "parameters": {"code": "44054006"},
        "format": "parquet",
        "compare": True,
    }
    result = night.run("sql_query", config)
    assert result.success, said(result)
    found = output(result)
    assert result.run_id in found["file"]
    assert pq.read_table(found["file"]).to_pylist() == [{"gender": "female", "n": 1}, {"gender": "male", "n": 2}]
    assert (found["batch_count"], found["added"]) == (2, 0)


def test_numbers_of_a_parameter_are_exact(site: Site) -> None:
    site.define(HEIGHTS)
    raw = '{"resourceType":"Observation","status":"final","valueQuantity":{"value":%s}}'
    write_raw(site.demo, "Observation", "h1", raw % "0.1")
    write_raw(site.demo, "Observation", "h2", raw % "0.1000000000000000055511151231257827")
    assert site.refresh().success
    result = site.run("sql_query", {"sql": "SELECT id FROM heights WHERE value = :v", "parameters": {"v": 0.1}})
    assert output(result)["dagster/row_count"] == 1


def test_a_refusal_fails_the_run_and_leaves_no_number_and_no_file(site: Site) -> None:
    site.demo.update(patient("a"))
    result = site.run("view_query", {"view": "patients", "name": "nothing"})
    assert not result.success
    assert "no generation has been published yet" in said(result)
    assert not list((site.folder / "home").rglob("nothing*"))


def test_a_query_may_not_read_a_variable_even_where_the_launchpad_lets_it(
    night: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_NUMBER", "7")
    result = night.run("view_query", {"view": "patients", "limit": {"env": "A_NUMBER"}})
    assert not result.success
    assert "may not read environment variables: limit" in said(result)


def test_a_missing_source_fails_the_run_with_one_clear_line(night: Site) -> None:
    night.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    result = night.run("view_query", {"view": "patients"})
    assert not result.success
    assert "HAPI_DB_URL: PostgreSQL at 127.0.0.1 database hapi cannot be reached" in said(result)
    assert "swordfish" not in said(result)


def test_run_config_cannot_point_a_resource_elsewhere(night: Site) -> None:
    for name in ("deployment", "serving"):
        job = night.definitions.resolve_job_def("nightly_refresh")
        config = {"resources": {name: {"config": {"url": "postgresql://elsewhere/db"}}}}
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, config)


def test_serving_works_without_dagster_running(night: Site, postgres_url: str) -> None:
    def connections() -> int:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %(name)s",
                {"name": night.deployment.database.url.database},
            ).fetchone()
        assert row is not None
        return int(row[0])

    night.deployment.close()
    serving = ServingResource()
    assert serving.serving.query("patients", mode="batch").row_count == 3
    assert serving.serving.select("SELECT count(*) AS n FROM patients").frame["n"].tolist() == [3]
    assert connections() > 0
    serving.close()
    wait_for(lambda: connections() == 0)


def wait_for(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
