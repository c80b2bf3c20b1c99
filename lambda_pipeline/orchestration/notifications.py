"""Sensors that tell somebody of failed runs and failed checks; without a channel there are none.

Failing ticks of the capture sensor are told of in `sensors.py`. Channels and limits are in `operations/notify/`.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import dagster as dg

from lambda_pipeline.errors import ParityMismatchError
from lambda_pipeline.operations.notify import Notice, Notifier, configured_channels
from lambda_pipeline.orchestration.assets import SPEED_LAYER, job_subject
from lambda_pipeline.orchestration.external_work import recorded_evaluation
from lambda_pipeline.settings import Settings

QUESTIONS = {"kind": "query"}
"""Tags of jobs whose failure concerns nobody but who launched them."""

LOOK_INTERVAL_S = 15

_RUNNING = dg.DefaultSensorStatus.RUNNING


def notification_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of a deployment that tells somebody; none for another one."""
    if not configured_channels(settings):
        return []
    return [failed_run_sensor(settings), successful_run_sensor(settings), failed_check_sensor(settings)]


def failed_run_sensor(settings: Settings) -> dg.SensorDefinition:
    """`tell_of_failed_runs`: a notice with code, reason and ways out of each failed run."""

    @dg.run_failure_sensor(
        name="tell_of_failed_runs",
        minimum_interval_seconds=LOOK_INTERVAL_S,
        default_status=_RUNNING,
        description="Tells somebody when a run of another job than a question fails.",
    )
    def tell_of_failed_runs(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if _is_question(run):
            return dg.SkipReason("a question failed; its page says why")
        Notifier(settings).tell(_describe_run(run, context.get_step_failure_events()))
        return None

    return tell_of_failed_runs


def successful_run_sensor(settings: Settings) -> dg.SensorDefinition:
    """`tell_of_recovered_runs`: a notice when a job that failed has worked again."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="tell_of_recovered_runs",
        minimum_interval_seconds=LOOK_INTERVAL_S,
        default_status=_RUNNING,
        description="Tells somebody when a job that failed has succeeded again.",
    )
    def tell_of_recovered_runs(context: dg.RunStatusSensorContext) -> None:
        Notifier(settings).tell_over(job_subject(context.dagster_run.job_name))

    return tell_of_recovered_runs


def failed_check_sensor(settings: Settings) -> dg.SensorDefinition:
    """`tell_of_failed_checks`: one notice per check, which names the assets for which it fails."""

    @dg.sensor(
        name="tell_of_failed_checks",
        minimum_interval_seconds=LOOK_INTERVAL_S,
        default_status=_RUNNING,
        description="Tells somebody when an asset check fails, and when it passes again.",
    )
    def tell_of_failed_checks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        assert context.repository_def is not None
        keys = sorted(context.repository_def.asset_graph.asset_check_keys)
        told = _tell_of_checks(Notifier(settings), context.instance, keys, _read_cursor(context.cursor))
        return dg.SensorResult(skip_reason=f"{len(told)} checks fail", cursor=json.dumps(told))

    return tell_of_failed_checks


def _tell_of_checks(
    notifier: Notifier, instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey], told: Mapping[str, int]
) -> dict[str, int]:
    """Tell of failed evaluations that nobody was told of; returns those that somebody was, by check."""
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failing: dict[str, dict[dg.AssetCheckKey, int]] = {key.name: {} for key in keys}
    for key, record in found.items():
        evaluation = recorded_evaluation(record)
        if evaluation is None or evaluation.passed or _is_of_a_tick(evaluation):
            continue
        if key.asset_key != SPEED_LAYER or _failed_before(instance, key):
            failing[key.name][key] = record.id
    known: dict[str, int] = {}
    for name, records in failing.items():
        subject = f"check {name}"
        numbers = {key.to_user_string(): number for key, number in records.items()}
        is_new = any(told.get(each) != number for each, number in numbers.items())
        if not numbers:
            notifier.tell_over(subject)
        elif is_new and not notifier.tell(_describe_check(subject, records)):
            # Held back: the evaluations stay new, so that the next look tries again.
            numbers = {each: told[each] for each in numbers if each in told}
        known |= numbers
    return known


def _describe_run(run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent]) -> Notice:
    """Code, reason and ways out where the step gave them; other texts of errors may quote values and stay here."""
    subject = job_subject(run.job_name)
    for event in failures:
        failure = event.step_failure_data.user_failure_data
        facts = {name: str(value.value) for name, value in failure.metadata.items()} if failure else {}
        if facts.get("error") == ParityMismatchError.code:
            reason = f"{facts['mismatches']} resources are served differently from their recompute"
            return Notice(subject, f"{reason}; run {run.run_id}", facts["error"], "the page of the run names them")
        if "reason" in facts:
            return Notice(subject, f"{facts['reason']}; run {run.run_id}", facts["error"], facts.get("ways_out", ""))
    steps = ", ".join(event.step_key or "" for event in failures) or "no step began"
    return Notice(subject, f"failed: {steps}; run {run.run_id}", ways_out="the page of the run says why")


def _describe_check(subject: str, failing: Mapping[dg.AssetCheckKey, int]) -> Notice:
    assets = ", ".join(sorted(key.asset_key.to_user_string() for key in failing))
    return Notice(subject, f"fails for {assets}", "check-failed", "the page of the asset says why")


def _is_question(run: dg.DagsterRun) -> bool:
    return QUESTIONS.items() <= run.tags.items()


def _failed_before(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool:
    """Whether the last two results are failures: the first tick after a start is late, and the next one is not."""
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=2)
    results = [recorded_evaluation(record) for record in history]
    return len(results) == 2 and all(each is not None and not each.passed for each in results)


def _is_of_a_tick(evaluation: dg.AssetCheckEvaluation) -> bool:
    """Whether it fails since a tick failed: the tick itself is told of."""
    return evaluation.asset_key == SPEED_LAYER and "error" in evaluation.metadata


def _read_cursor(cursor: str | None) -> dict[str, int]:
    with suppress(ValueError, TypeError, AttributeError):
        return {str(check): int(number) for check, number in json.loads(cursor or "{}").items()}
    return {}
