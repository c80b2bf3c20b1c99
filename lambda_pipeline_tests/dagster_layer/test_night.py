"""The night gets done: a refresh is repeated, a missed one is made up for, and a run that gives up says why."""

import logging
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._scheduler.scheduler import launch_scheduled_runs

from lambda_pipeline_tests.dagster_layer.test_runs import said
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.worlds import Site

QUEUED = {"run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}}
"""Runs are recorded, and nobody starts them."""


def last_failure(run: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Metadata of the last event of the step that failed."""
    *_, failed = [event for event in run.all_events if event.is_step_failure]
    return {name: value.value for name, value in failed.step_failure_data.user_failure_data.metadata.items()}


def test_a_run_that_gives_up_says_what_failed_and_the_way_out(night: Site) -> None:
    for name, value in {
        "HAPI_DB_URL": "postgresql://nobody:swordfish@127.0.0.1:1/hapi",
        "LAMBDA_PIPELINE_REFRESH_RETRY_FOR_S": "0.3",
        "LAMBDA_PIPELINE_REFRESH_RETRY_FIRST_S": "0.05",
    }.items():
        night.setenv(name, value)
    run = night.refresh()
    assert not run.success
    assert "Exceeded max_retries" not in said(run)
    assert "HAPI_DB_URL: PostgreSQL at 127.0.0.1 database hapi cannot be reached" in said(run)
    assert "given up after" in said(run)
    found = last_failure(run)
    assert (found["error"], "cannot be reached" in found["reason"]) == ("hapi-unavailable", True)
    assert found["ways_out"]
    logged = [entry.user_message for entry in night.instance.all_logs(run.run_id) if entry.level == logging.WARNING]
    assert len(logged) >= 2
    assert all(line.startswith("attempt ") and "[hapi-unavailable]" in line for line in logged)
    assert "swordfish" not in "\n".join([*logged, said(run), str(found)])


def test_a_refresh_of_which_a_view_failed_is_no_success(night: Site) -> None:
    night.define({**PATIENTS, "whre": []}, CONDITIONS)
    run = night.refresh()
    assert not run.success
    assert last_failure(run)["error"] == "refresh-incomplete"
    reported = {event.asset_key.to_user_string() for event in run.get_asset_materialization_events()}
    assert reported >= {"batch/patients", "batch/conditions"}


def test_a_night_that_was_missed_is_made_up_for_once() -> None:
    """The daemon was down at 02:00 of three nights and comes back at 09:00: Dagster runs the last of them."""
    code = LoadableTargetOrigin(module_name="lambda_pipeline.definitions")
    target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(code))
    with (
        dg.instance_for_test(overrides=QUEUED) as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):

        def nights_after_a_start_at(moment: datetime) -> list[datetime]:
            """Nights for which a run was requested, after the scheduler's first look in a new daemon."""
            list(launch_scheduled_runs(workspace, logging.getLogger("daemon"), moment, iteration_times={}))
            (state,) = instance.all_instigator_state()
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
            assert len(instance.get_runs()) == len(ticks)
            return [datetime.fromtimestamp(tick.timestamp, UTC) for tick in ticks]

        last_night = datetime(2024, 1, 4, 2, tzinfo=UTC)
        assert nights_after_a_start_at(datetime(2024, 1, 1, 12, tzinfo=UTC)) == []
        assert nights_after_a_start_at(datetime(2024, 1, 4, 9, tzinfo=UTC)) == [last_night]
        assert nights_after_a_start_at(datetime(2024, 1, 4, 9, 1, tzinfo=UTC)) == [last_night]
