"""Definitions, a night, a tick and a question, through Dagster itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lambda_pipeline.api import Deployment, open_deployment
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.support.hospital import condition, patient

VIEWS = [view.name for view in load_views(Settings().view_definitions)]


@pytest.fixture
def defs() -> dg.Definitions:
    """As the environment describes them; no server is asked."""
    return build_definitions(Settings())


@pytest.fixture
def deployment(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """A source with three patients, named by the environment as a deployment would name it."""
    monkeypatch.setenv("HAPI_DB_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("LAMBDA_PIPELINE_TICK_BUDGET_S", "0.1")
    load_settings.cache_clear()
    with open_deployment() as deployment:
        demo = DemoHapi(deployment.database, referential_integrity=False)
        demo.install()
        for name, gender in [("a", "male"), ("b", "male"), ("c", "female")]:
            demo.update(patient(name, gender))
            demo.update(condition(f"dm-{name}", name))
        yield deployment
    load_settings.cache_clear()


def tick(defs: dg.Definitions, instance: dg.DagsterInstance) -> dg.SensorResult:
    sensor = defs.resolve_sensor_def("capture_changes")
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=dict(defs.resources or {})) as context:
        return sensor.evaluate_tick(context)


def test_definitions_load_without_any_server_and_name_what_they_promise(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)
    keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    assert keys == {
        *(f"batch/{name}" for name in VIEWS),
        *(f"merged/{name}" for name in VIEWS),
        *(f"hapi/{kind}" for kind in ("Condition", "MedicationRequest", "Observation", "Patient", "Procedure")),
        "speed_layer",
        "operations_report",
    }
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"nightly_refresh", "view_query", "sql_query"}
    schedule = defs.resolve_schedule_def("nightly")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_night_a_tick_and_a_question(deployment: Deployment, tmp_path: Path) -> None:
    defs = build_definitions(load_settings())
    with dg.DagsterInstance.ephemeral() as instance:
        night = defs.resolve_job_def("nightly_refresh").execute_in_process(instance=instance)
        assert night.success
        made = [event for event in night.get_asset_materialization_events() if event.asset_key.path[0] == "batch"]
        events = {event.asset_key.path[-1]: event for event in made}
        assert set(events) == set(VIEWS)
        rows = events["patient_simple"].step_materialization_data.materialization.metadata["dagster/row_count"]
        assert rows.value == 3

        DemoHapi(deployment.database, referential_integrity=False).update(patient("a", "female"))
        result = tick(defs, instance)
        assert not result.run_requests
        materialized = [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]
        assert [event.asset_key.path for event in materialized] == [["speed_layer"]]

        question = {
            "view": "patient_simple",
            "where": [{"column": "gender", "operator": "eq", "value": "male"}],
            "name": "males",
        }
        asked = defs.resolve_job_def("view_query").execute_in_process(run_config=question, instance=instance)
        assert asked.success
    manifest = json.loads(next((tmp_path / "results").glob("males*.manifest.json")).read_text())
    assert "row_count" in json.dumps(manifest)
    assert (tmp_path / "results" / "males.csv").read_text().count("\n") == 2


def test_a_failing_refresh_fails_the_run_and_records_nothing(deployment: Deployment) -> None:
    defs = build_definitions(load_settings())
    deployment.refresh()
    with deployment.database.connect() as connection:
        connection.execute("ALTER TABLE hfj_res_ver RENAME TO elsewhere")
    with dg.DagsterInstance.ephemeral() as instance:
        night = defs.resolve_job_def("nightly_refresh").execute_in_process(instance=instance, raise_on_error=False)
        assert not night.success
        assert not night.get_asset_materialization_events()
    assert deployment.serving.generation().number == 1


def test_before_the_first_generation_the_sensor_asks_for_one(deployment: Deployment) -> None:
    assert deployment.serving.generation() is None
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(build_definitions(load_settings()), instance)
    assert len(result.run_requests or []) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"view": "nope"},
        {"view": {"env": "HOME"}},
        {"view": "patient_simple", "resources": {}},
        {"view": "patient_simple", "columns": ["nope"]},
        {"view": "patient_simple", "columns": ["snomed_code"]},
        {"view": "patient_simple", "where": [{"column": "gender", "operator": "like", "value": "m"}]},
        {"view": "patient_simple", "where": [{"column": "deceased", "operator": "eq", "value": "perhaps"}]},
        {"view": "patient_simple", "limit": 0},
    ],
)
def test_a_bad_question_is_refused_before_launch(defs: dg.Definitions, config: dict[str, object]) -> None:
    with pytest.raises((dg.DagsterInvalidConfigError, dg.DagsterConfigMappingFunctionError)):
        dg.validate_run_config(defs.resolve_job_def("view_query"), config)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM patient_simple", "SELECT 1; SELECT 2", "SELECT * FROM public.hfj_resource"]
)
def test_sql_that_is_no_question_is_refused_before_launch(defs: dg.Definitions, statement: str) -> None:
    with pytest.raises((dg.DagsterInvalidConfigError, dg.DagsterConfigMappingFunctionError)):
        dg.validate_run_config(defs.resolve_job_def("sql_query"), {"sql": statement})
