"""What Dagster is told, without any server or variable."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.servers import PROJECT

VIEWS = {
    "condition_diagnoses": "Condition",
    "condition_simple": "Condition",
    "medication_requests": "MedicationRequest",
    "observation_labs": "Observation",
    "patient_demographics": "Patient",
    "patient_simple": "Patient",
    "procedure_history": "Procedure",
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


def defined(folder: Path, *definitions: dict[str, object], **settings: object) -> dg.Definitions:
    folder.mkdir(exist_ok=True)
    for definition in definitions:
        (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
    return build_definitions(Settings(view_definitions=folder, **settings))  # type: ignore[arg-type]


def test_they_load_in_a_process_without_any_variable_and_ask_no_server() -> None:
    program = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        "import dagster as dg\n"
        "from lambda_pipeline.definitions import defs\n"
        "dg.Definitions.validate_loadable(defs)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"HOME": "/nowhere"}, cwd=PROJECT)


def test_assets_jobs_schedules_and_sensors(definitions: dg.Definitions) -> None:
    expected = {f"hapi/{kind}" for kind in VIEWS.values()} | {"speed_layer", "operations_report"}
    expected |= {f"{layer}/{view}" for view in VIEWS for layer in ("batch", "merged")}
    assert {key.to_user_string() for key in definitions.resolve_all_asset_keys()} == expected
    assert {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")} == {
        "nightly_refresh",
        "parity_check",
        "view_query",
        "view_changes",
        "view_counts",
        "sql_query",
        "cohort_query",
    }
    nightly = definitions.resolve_schedule_def("nightly")
    assert (nightly.job_name, nightly.cron_schedule, nightly.execution_timezone) == (
        "nightly_refresh",
        "0 2 * * *",
        "UTC",
    )
    assert nightly.default_status is dg.DefaultScheduleStatus.RUNNING
    sensor = definitions.resolve_sensor_def("capture_changes")
    assert (sensor.minimum_interval_seconds, sensor.default_status) == (1, dg.DefaultSensorStatus.RUNNING)


def test_the_nightly_job_refreshes_every_view_makes_the_report_and_nothing_else(definitions: dg.Definitions) -> None:
    layer = definitions.resolve_job_def("nightly_refresh").asset_layer
    views = {dg.AssetKey(["batch", view]) for view in VIEWS}
    assert layer.executable_asset_keys == {*views, dg.AssetKey(["operations_report"])}


def test_lineage_runs_from_the_source_through_both_layers_to_the_merged_view(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for view, kind in VIEWS.items():
        merged = graph.get(dg.AssetKey(["merged", view]))
        assert merged.parent_keys == {dg.AssetKey(["batch", view]), dg.AssetKey("speed_layer")}
        assert graph.get(dg.AssetKey(["batch", view])).parent_keys == {dg.AssetKey(["hapi", kind])}
    speed = graph.get(dg.AssetKey("speed_layer"))
    assert speed.parent_keys == {dg.AssetKey(["hapi", kind]) for kind in VIEWS.values()}


def test_the_catalog_shows_columns_with_types_and_the_table(definitions: dg.Definitions) -> None:
    spec = definitions.resolve_asset_graph().get(dg.AssetKey(["batch", "observation_labs"]))
    columns = {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}
    assert columns["value_quantity"] == "numeric"
    assert spec.metadata["dagster/table_name"] == "sqlonfhir.observation_labs"
    assert spec.code_version


def test_a_new_file_is_a_new_asset_a_merged_relation_and_a_name_in_the_launchpad(tmp_path: Path) -> None:
    before = defined(tmp_path / "a", PATIENTS).resolve_all_asset_keys()
    after = defined(tmp_path / "b", PATIENTS, CONDITIONS)
    added = set(after.resolve_all_asset_keys()) - set(before)
    assert {key.to_user_string() for key in added} == {"batch/conditions", "merged/conditions", "hapi/Condition"}
    assert dg.validate_run_config(after.resolve_job_def("view_query"), {"view": "conditions"})


def test_a_changed_definition_changes_the_code_version(tmp_path: Path) -> None:
    narrower = {**PATIENTS, "select": [{"column": PATIENTS["select"][0]["column"][:2]}]}  # type: ignore[index]
    versions = {
        defined(tmp_path / name, definition).resolve_asset_graph().get(dg.AssetKey(["batch", "patients"])).code_version
        for name, definition in (("a", PATIENTS), ("b", PATIENTS), ("c", narrower))
    }
    assert len(versions) == 2


def test_without_the_speed_layer_there_is_no_sensor_and_no_such_asset(tmp_path: Path) -> None:
    off = defined(tmp_path / "a", PATIENTS, speed_layer=False)
    assert not off.sensors
    assert dg.AssetKey("speed_layer") not in off.resolve_all_asset_keys()


def test_the_time_of_the_night_is_a_setting(tmp_path: Path) -> None:
    there = defined(tmp_path / "a", PATIENTS, nightly_cron="30 3 * * *", timezone="Europe/Berlin")
    nightly = there.resolve_schedule_def("nightly")
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 3 * * *", "Europe/Berlin")


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no view definition in"):
        defined(tmp_path / "a")
