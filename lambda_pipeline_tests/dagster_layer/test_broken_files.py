"""A file that does not compile, in Dagster: the location loads, and the check `definition` of its view fails."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.dagster_layer.test_checks import result
from lambda_pipeline_tests.dagster_layer.test_runs import output, said
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site

BATCH = dg.AssetKey(["batch", "patients"])
ERROR = dg.AssetCheckSeverity.ERROR
BROKEN: dict[str, Any] = {**PATIENTS, "whre": []}


def problem(site: Site, view: str = "patients") -> tuple[bool, str]:
    passed, severity, metadata = result(site, dg.AssetKey(["batch", view]), "definition")
    assert severity is ERROR
    return passed, metadata["problem"]


def test_the_location_loads_with_every_file_broken(tmp_path: Path) -> None:
    for name, content in {"a.json": "{", "b 1.json": "[]", "c.json": '{"name": "d", "resource": "Patient"}'}.items():
        (tmp_path / name).write_text(content)
    definitions = build_definitions(Settings(view_definitions=tmp_path))
    dg.Definitions.validate_loadable(definitions)
    assert {key.to_user_string() for key in definitions.resolve_all_asset_keys()} == {
        "speed_layer", "operations_report",
        *(f"{layer}/{name}" for layer in ("batch", "merged") for name in ("a", "b_1", "d")),
    }  # fmt: skip


def test_a_refresh_keeps_the_published_view_and_fails_its_check(night: Site) -> None:
    assert problem(night) == (True, "none")
    night.define(BROKEN, CONDITIONS)
    night.demo.update(patient("d"))
    run = night.refresh()
    assert not run.success
    assert "generation 2 is published, but not as every file defines it: patients: patients.json" in said(run)
    passed, why = problem(night)
    assert not passed
    assert "patients.json: $.whre: 'whre' is not part of a ViewDefinition" in why
    assert problem(night, "conditions") == (True, "none")
    for key in (BATCH, dg.AssetKey(["merged", "patients"])):
        assert result(night, key, "parity")[0]
    for view in ("patients", "conditions"):
        made = night.latest("batch", view)
        assert made is not None
        assert made.metadata["generation"].value == 2
    assert night.deployment.serving.query("patients", mode="batch").row_count == 4


def test_a_broken_file_of_a_new_view_fails_its_own_check(night: Site) -> None:
    night.define(PATIENTS, CONDITIONS, {**BROKEN, "name": "people"})
    run = night.refresh()
    assert not run.success
    assert "people: people.json: $.whre" in said(run)
    assert not problem(night, "people")[0]
    assert problem(night) == (True, "none")
    assert night.latest("batch", "people") is None
    assert result(night, BATCH, "parity")[2]["generation"] == 2


def test_the_sensor_captures_and_fails_the_check_before_any_refresh(night: Site) -> None:
    night.define(BROKEN, CONDITIONS)
    night.demo.update(patient("d"))
    night.tick()
    assert not problem(night)[0]
    assert night.deployment.serving.query("patients").sources == ("batch generation 1", "overlay")
    assert night.deployment.serving.query("patients").row_count == 4


@pytest.mark.parametrize(
    ("job", "config"),
    [("view_query", {"view": "patients"}), ("sql_query", {"sql": "SELECT id FROM patients"})],
)
def test_the_published_view_can_be_asked_from_the_launchpad(night: Site, job: str, config: dict[str, Any]) -> None:
    night.define(BROKEN, CONDITIONS)
    night.tick()
    run = night.run(job, config)
    assert run.success, said(run)
    assert output(run)["rows"] == 3


def test_the_sensor_reports_a_view_that_a_refresh_elsewhere_left_out(night: Site) -> None:
    with night.deployment.database.connect() as connection:
        connection.execute("DROP TABLE sqlonfhir.patients__1 CASCADE")
        connection.execute("CREATE TABLE sqlonfhir.patients__2 ()")
    assert set(night.deployment.refresh().views) == {"conditions"}
    night.tick()
    assert problem(night) == (False, 'relation "patients__2" already exists')
    assert problem(night, "conditions") == (True, "none")
