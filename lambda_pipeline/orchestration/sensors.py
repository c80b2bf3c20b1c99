"""The sensor that captures HAPI's changes, several polls a tick and without a run.

What it reports to Dagster is information for people: the state of capture is in Redis alone. What a poll does is in
`speed/`.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Self

import dagster as dg

from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.operations.notify import Notice, Notifier
from lambda_pipeline.operations.parity_record import ParityRecord
from lambda_pipeline.operations.tick_counters import count_tick
from lambda_pipeline.orchestration import asset_checks, metadata
from lambda_pipeline.orchestration.assets import SPEED_LAYER, batch_key, definition_problems, view_names
from lambda_pipeline.orchestration.external_work import (
    UNFINISHED,
    Event,
    external_refresh_events,
    new_comparisons,
    parity_events,
    recorded_evaluation,
    run_will_report,
)
from lambda_pipeline.orchestration.jobs import NIGHTLY_REFRESH
from lambda_pipeline.orchestration.resources import DeploymentResource
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.tick import Tick, run_tick

REQUEST_AGAIN_S = 600
"""A requested refresh that failed is requested again after this time."""

CAPTURE_SUBJECT = "sensor capture_changes"


@dataclass(frozen=True, slots=True)
class Progress:
    """The cursor: the frontier for people, and the time of the last report. The state of capture is in Redis.

    Attributes:
        frontier: every change committed in HAPI by then was captured, in ISO 8601; empty before the first poll.
        reported_at: when checks were last reported, in seconds since 1970.
        parity_at: when the newest comparison was made that was looked at, in seconds since 1970.
    """

    frontier: str = ""
    reported_at: float = 0.0
    parity_at: float = 0.0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """Parse a cursor; an unrecognised one counts as empty."""
        with suppress(ValueError, TypeError, KeyError):
            fields = json.loads(cursor or "")
            return cls(str(fields["frontier"]), float(fields["reported_at"]), float(fields.get("parity_at", 0.0)))
        return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def capture_sensor(settings: Settings) -> dg.SensorDefinition:
    """`capture_changes`, under which name Dagster keeps its state: several polls a tick, each visible at once."""

    @dg.sensor(
        name="capture_changes",
        job_name=NIGHTLY_REFRESH,
        minimum_interval_seconds=_interval_s(settings),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls HAPI and publishes changes in the overlay. Requests a refresh when it cannot continue.",
    )
    def capture_changes(
        context: dg.SensorEvaluationContext, deployment: DeploymentResource
    ) -> dg.SensorResult | dg.SkipReason:
        return _capture(context, deployment.get(), settings)

    return capture_changes


def _capture(
    context: dg.SensorEvaluationContext, deployment: Deployment, settings: Settings
) -> dg.SensorResult | dg.SkipReason:
    failed_before = _reported_failure(context.instance)
    notifier = Notifier(settings)
    try:
        tick = run_tick(deployment.poller, settings)
    except Exception as error:
        notifier.tell(Notice.of(CAPTURE_SUBJECT, error))
        if not isinstance(error, LambdaPipelineError):
            raise
        _report_failure(context.instance, error, failed_before, settings)
        if failed_before is None or failed_before[0] != error.code:
            raise
        # Dagster logs two tracebacks of each tick that raises: 200 MB a day while a server is away.
        return dg.SkipReason(f"still failing [{error.code}]: {error}")
    notifier.tell_over(CAPTURE_SUBJECT)
    count_tick(deployment.overlay, tick)
    progress = Progress.read(context.cursor)
    compared = new_comparisons(deployment, progress.parity_at)
    due = failed_before is not None or time.time() - progress.reported_at >= settings.report_interval_s
    events: list[Event] = []
    if due or tick.changed:
        events.append(dg.AssetMaterialization(SPEED_LAYER, metadata=metadata.describe_tick(tick, deployment)))
    if due:
        events += asset_checks.to_evaluations(asset_checks.check_speed_layer(SPEED_LAYER, tick, deployment))
        events += _failed_definition_events(deployment)
        progress = replace(progress, reported_at=time.time())
    if (due or compared) and not run_will_report(context.instance, deployment):
        # A check counts for the newest materialization, so the comparison comes after those of its generation.
        events += external_refresh_events(context.instance, deployment)
        events += parity_events(context.instance, compared, view_names(deployment))
        progress = replace(progress, parity_at=max([progress.parity_at, *(_seconds(each) for each in compared)]))
    requests = _request_refresh(context.instance, deployment, tick)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _skip_reason(tick),
        cursor=str(replace(progress, frontier=tick.frontier.isoformat()) if tick.frontier else progress),
        asset_events=events,
    )


def _seconds(record: ParityRecord) -> float:
    return record.made_at.timestamp()


def _reported_failure(instance: dg.DagsterInstance) -> tuple[str, float] | None:
    """Code and time of the failure that the check of coverage shows; None when it passes, or fails for a gap."""
    check = dg.AssetCheckKey(SPEED_LAYER, asset_checks.COVERAGE)
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).get(check)
    evaluation = recorded_evaluation(found)
    code = evaluation.metadata.get("error") if evaluation and not evaluation.passed else None
    return (str(code.value), found.create_timestamp) if found and code else None


def _report_failure(
    instance: dg.DagsterInstance, error: LambdaPipelineError, before: tuple[str, float] | None, settings: Settings
) -> None:
    """Let the checks of the speed layer fail: a tick that raises reports nothing by itself.

    A failure that goes on is reported again after `report_interval_s`, not in every tick.
    """
    if before and before[0] == error.code and time.time() - before[1] < settings.report_interval_s:
        return
    for evaluation in asset_checks.to_evaluations(asset_checks.failed_speed_layer(SPEED_LAYER, error)):
        instance.report_runless_asset_event(evaluation)


def _interval_s(settings: Settings) -> int:
    """The sensor's interval: 1 gives a tick in every cycle of the daemon, where 5 would miss every second one."""
    return int(settings.poll_interval_s) if settings.poll_interval_s > asset_checks.TICK_CYCLE_S else 1


def _failed_definition_events(deployment: Deployment) -> Sequence[Event]:
    """The failed check of each view that is not as its file defines it: no run may look at it for a day."""
    problems = definition_problems(deployment, deployment.serving.generation())
    names = view_names(deployment)
    return asset_checks.to_evaluations(
        [
            asset_checks.definition_result(batch_key(name), problem)
            for name, problem in problems.items()
            if name in names
        ]
    )


def _request_refresh(instance: dg.DagsterInstance, deployment: Deployment, tick: Tick) -> Sequence[dg.RunRequest]:
    if not tick.refresh_needed:
        return []
    unfinished = dg.RunsFilter(job_name=NIGHTLY_REFRESH, statuses=UNFINISHED)
    if instance.get_runs(unfinished, limit=1):
        return []
    generation = deployment.serving.generation()
    number = generation.number if generation else 0
    return [
        dg.RunRequest(
            run_key=f"after-generation-{number}-{int(time.time() // REQUEST_AGAIN_S)}",
            tags={"lambda_pipeline/asked_by": "capture_changes"},
        )
    ]


def _skip_reason(tick: Tick) -> str:
    """What the tick did, in one line: Dagster shows a tick without a run as skipped."""
    polls = _counted(len(tick.polls), "poll", "polls")
    if tick.refresh_needed:
        return f"{polls}: {tick.refresh_needed}; a refresh is running or was requested"
    parts = [f"{polls}: captured {_counted(tick.count, 'change', 'changes')}"]
    parts += [f"{tick.deleted} of them deletes"] if tick.deleted else []
    parts += [f"pruned {_counted(tick.pruned, 'entry', 'entries')}"] if tick.pruned else []
    parts += [f"overlay rebuilt ({tick.rebuilt})"] if tick.rebuilt else []
    frontier = f"; complete up to {tick.frontier.isoformat(timespec='milliseconds')}" if tick.frontier else ""
    return ", ".join(parts) + frontier


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
