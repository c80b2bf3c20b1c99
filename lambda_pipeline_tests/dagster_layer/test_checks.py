"""The checks that come with a refresh, and the parity check wherever it is launched."""

from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.dagster_layer.test_run_config import refusal
from lambda_pipeline_tests.dagster_layer.test_runs import WIDER, output, said
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
BATCH, MERGED = dg.AssetKey(["batch", "patients"]), dg.AssetKey(["merged", "patients"])


def latest(site: Site, key: dg.AssetKey, check: str) -> dg.AssetCheckEvaluation | None:
    """The newest result of a check."""
    records = site.instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key, check), 1)
    event = records[0].event if records else None
    return event.dagster_event.asset_check_evaluation_data if event and event.dagster_event else None


def result(site: Site, key: dg.AssetKey, check: str) -> tuple[bool, dg.AssetCheckSeverity, dict[str, Any]]:
    found = latest(site, key, check)
    assert found is not None
    return found.passed, found.severity, {name: value.value for name, value in found.metadata.items()}


def tamper(site: Site, statement: str) -> None:
    with site.deployment.database.connect() as connection:
        connection.execute(statement.encode())


def test_after_a_refresh_both_layers_are_compared_with_the_source(night: Site) -> None:
    for view in ("patients", "conditions"):
        for mode, sources in (("batch", "batch generation 1"), ("merged", "batch generation 1, overlay")):
            passed, severity, metadata = result(night, dg.AssetKey([mode, view]), "parity")
            assert (passed, severity) == (True, ERROR)
            assert (metadata["checked"], metadata["mismatches"], metadata["changed_since"]) == (3, 0, 0)
            assert (metadata["sample"], metadata["sources"]) == (200, sources)
            assert metadata["seed"] >= 0


def test_a_mismatch_fails_the_check_by_key_and_takes_nothing_back(night: Site) -> None:
    tamper(night, "UPDATE sqlonfhir.patients__1 SET gender = 'swordfish' WHERE id = 'b'")
    run = night.refresh()
    assert run.success
    for key in (BATCH, MERGED):
        passed, severity, metadata = result(night, key, "parity")
        assert (passed, severity) == (False, ERROR)
        assert (metadata["mismatches"], metadata["differing"]) == (1, "Patient/b")
    assert result(night, dg.AssetKey(["batch", "conditions"]), "parity")[0]
    generation = night.deployment.serving.generation()
    assert generation is not None
    assert generation.number == 2
    assert "swordfish" not in "\n".join(str(event) for event in run.all_events)


def test_a_refused_comparison_is_a_failed_check_with_the_reason(night: Site) -> None:
    night.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    night.setenv("REDIS_URL", "unix:///nowhere/redis.sock")
    night.define(PATIENTS, CONDITIONS)
    assert night.refresh().success
    passed, severity, metadata = result(night, MERGED, "parity")
    assert (passed, severity, metadata["error"]) == (False, ERROR, "coverage-gap")
    assert "/nowhere/redis.sock" in metadata["reason"]
    assert "mode source" in metadata["ways_out"]
    assert result(night, BATCH, "parity")[0]


def test_a_view_that_is_not_published_fails_its_own_check_only(night: Site) -> None:
    night.define(PATIENTS, CONDITIONS, {**CONDITIONS, "name": "more_conditions"})
    job = night.definitions.resolve_implicit_global_asset_job_def()
    checks = [dg.AssetCheckKey(dg.AssetKey(["batch", name]), "parity") for name in ("patients", "more_conditions")]
    selection = dg.AssetSelection.checks(*checks).resolve_checks(night.definitions.resolve_asset_graph())
    run = job.get_subset(asset_check_selection=selection, asset_selection=set()).execute_in_process(
        instance=night.instance, raise_on_error=False
    )
    assert run.success
    assert len(run.get_asset_check_evaluations()) == 2
    assert result(night, BATCH, "parity")[0]
    passed, _, metadata = result(night, dg.AssetKey(["batch", "more_conditions"]), "parity")
    assert (passed, metadata["error"]) == (False, "view-not-published")


def test_a_failed_refresh_leaves_no_result_of_parity(night: Site) -> None:
    tamper(night, "ALTER TABLE sqlonfhir.generation_view ADD CHECK (generation < 2)")
    run = night.refresh()
    assert not run.success
    assert not [found for found in run.get_asset_check_evaluations() if found.check_name == "parity"]


def test_parity_can_be_switched_off_and_still_be_launched(site: Site) -> None:
    site.setenv("LAMBDA_PIPELINE_PARITY_SAMPLE", "0")
    site.define(PATIENTS, CONDITIONS)
    site.demo.update(patient("a"))
    run = site.refresh()
    assert run.success
    assert {found.check_name for found in run.get_asset_check_evaluations()} == {
        "rows_plausible", "quarantine_empty", "reconciliation", "schema", "definition",
    }  # fmt: skip
    assert output(site.run("parity_check"))["checked"] == 2


@pytest.mark.parametrize("config", [{}, {"everything": True}, {"mode": "batch", "sample": 2, "seed": 7}])
def test_parity_can_be_launched_for_as_much_as_is_asked_for(night: Site, config: dict[str, Any]) -> None:
    night.tick()
    run = night.run("parity_check", config)
    assert run.success, said(run)
    found = output(run)
    assert found["mismatches"] == 0
    rows = [record.data for record in found["views"].records]
    assert {row["mode"] for row in rows} == ({"batch"} if "mode" in config else {"batch", "live"})
    assert found["seed_batch"] == config.get("seed", found["seed_batch"])
    assert all(row["checked"] >= 2 for row in rows)


def test_a_launched_check_fails_its_run_and_names_what_differs(night: Site) -> None:
    tamper(night, "UPDATE sqlonfhir.patients__1 SET gender = 'swordfish' WHERE id = 'b'")
    run = night.run("parity_check", {"everything": True})
    assert not run.success
    assert "1 differ: Patient/b in patients (1 rows served, 1 recomputed)" in said(run)
    assert "swordfish" not in "\n".join(str(event) for event in run.all_events)


def test_a_launched_check_that_is_refused_says_code_reason_and_ways_out(site: Site) -> None:
    run = site.run("parity_check")
    assert not run.success
    assert "refused [no-generation]: no generation has been published yet; missing: a first generation" in said(run)
    (failed,) = [event for event in run.all_events if event.is_step_failure]
    metadata = failed.step_failure_data.user_failure_data.metadata
    assert metadata["error"].value == "no-generation"
    assert "lambda-pipeline refresh" in metadata["ways_out"].value


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"everything": True, "sample": 5}, "everything and sample exclude each other"),
        ({"sample": 0}, "greater than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"mode": "source"}, "not in enum type ServedName"),
        ({"resources": {}}, "resources"),
    ],
)
def test_a_bad_parity_check_is_refused_before_launch(config: dict[str, Any], reason: str) -> None:
    assert reason in refusal(build_definitions(load_settings()), "parity_check", config)


def test_what_left_no_trace_is_repaired_and_warned_of(night: Site) -> None:
    with night.demo.open_transaction() as transaction:
        transaction.delete("Patient", "b")
        transaction.expunge("Patient", "b")
    assert result(night, BATCH, "reconciliation")[0]
    assert night.refresh().success
    passed, severity, metadata = result(night, BATCH, "reconciliation")
    assert (passed, severity) == (False, WARN)
    assert metadata == {"gone": 1, "altered": 0, "resources": "Patient/b"}
    assert result(night, dg.AssetKey(["batch", "conditions"]), "reconciliation")[0]
    patients = night.latest("batch", "patients")
    assert patients is not None
    assert patients.metadata["repaired"].value == {"gone": 1, "altered": 0, "resources": "Patient/b"}
    assert night.refresh().success
    assert result(night, BATCH, "reconciliation")[0]


def test_changed_columns_are_warned_of_in_the_refresh_that_changed_them(night: Site) -> None:
    assert result(night, BATCH, "schema")[0]
    night.define(WIDER, CONDITIONS)
    assert night.refresh().success
    assert result(night, BATCH, "schema") == (False, WARN, {"added": "active", "removed": "family"})
    assert result(night, dg.AssetKey(["batch", "conditions"]), "schema")[0]
    assert night.refresh().success
    assert result(night, BATCH, "schema")[0]


def test_a_refresh_made_elsewhere_is_compared_with_what_was_reported_last(night: Site) -> None:
    night.define(WIDER, CONDITIONS)
    for _ in range(2):
        night.deployment.refresh()
    tamper(night, "UPDATE sqlonfhir.generation SET published_at = published_at - interval '1 minute'")
    night.tick()
    assert result(night, BATCH, "schema") == (False, WARN, {"added": "active", "removed": "family"})
    assert result(night, BATCH, "rows_plausible")[2]["rows_before"] == 3
