"""Sensors: capture of what changes in HAPI, without a run. Dagster's record of it is a report; Redis has the truth."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Self

import dagster as dg

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.orchestration import asset_checks, metadata
from lambda_pipeline.orchestration.assets import SPEED_LAYER, batch_key, generation_before
from lambda_pipeline.orchestration.jobs import NIGHTLY_REFRESH
from lambda_pipeline.orchestration.resources import DeploymentResource
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.tick import Tick, run_tick

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation

OWN_REPORT_S = 15
"""A run that has just published a generation gets so long to report it itself."""

REQUEST_AGAIN_S = 600
"""A refresh that was asked for and failed is asked for again after so many seconds."""

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class Progress:
    """The cursor: for people, and for the pace of reports. What was captured is known to Redis alone.

    Attributes:
        frontier: everything committed in HAPI by then was captured, in ISO 8601; empty before the first poll.
        reported_at: when checks were reported last, in seconds since 1970.
    """

    frontier: str = ""
    reported_at: float = 0.0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """From a cursor; whatever is none of ours counts as none."""
        with suppress(ValueError, TypeError, KeyError):
            held = json.loads(cursor or "")
            return cls(str(held["frontier"]), float(held["reported_at"]))
        return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def capture_sensor(settings: Settings) -> dg.SensorDefinition:
    """`capture_changes`: several polls a tick, each visible at once. Dagster keys its state by this name."""

    @dg.sensor(
        name="capture_changes",
        job_name=NIGHTLY_REFRESH,
        minimum_interval_seconds=_interval_s(settings),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls HAPI and publishes what changed in the overlay. Asks for a refresh when it cannot go on.",
    )
    def capture_changes(context: dg.SensorEvaluationContext, deployment: DeploymentResource) -> dg.SensorResult:
        layers = deployment.get()
        tick = run_tick(layers.poller, settings)
        progress = Progress.read(context.cursor)
        due = time.time() - progress.reported_at >= settings.report_interval_s
        events: list[Event] = []
        if due or tick.changed:
            events.append(dg.AssetMaterialization(SPEED_LAYER, metadata=metadata.of_tick(tick, layers)))
        if due:
            events += asset_checks.evaluations(asset_checks.check_speed_layer(SPEED_LAYER, tick, layers))
            events += _made_elsewhere(context.instance, layers)
            progress = replace(progress, reported_at=time.time())
        requests = _refresh_request(context.instance, tick, layers)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _said(tick),
            cursor=str(replace(progress, frontier=tick.frontier.isoformat()) if tick.frontier else progress),
            asset_events=events,
        )

    return capture_changes


def _interval_s(settings: Settings) -> int:
    """1 gives a tick at every turn of the daemon's loop, where 5 would miss every other one."""
    return int(settings.poll_interval_s) if settings.poll_interval_s > asset_checks.TICK_CYCLE_S else 1


def _made_elsewhere(instance: dg.DagsterInstance, layers: Deployment) -> list[Event]:
    """Reports of batch views that were refreshed without Dagster, from a command line, or along with selected ones."""
    generation = layers.serving.generation()
    if generation is None or (datetime.now(UTC) - generation.published_at).total_seconds() < OWN_REPORT_S:
        return []
    keys = [batch_key(view.name) for view in layers.views if view.name in generation.views]
    known = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(keys)
    }
    reported = {key: _generation_of(known.get(key)) for key in keys}
    behind = {number: generation_before(layers, number + 1) for number in set(reported.values()) - {generation.number}}
    return [
        event
        for key, number in reported.items()
        if number < generation.number
        for event in _batch_report(key, generation, behind[number])
    ]


def _generation_of(event: dg.EventLogEntry | None) -> int:
    """The generation that a materialization told of; 0 when there was none."""
    entry = event.asset_materialization.metadata.get("generation") if event and event.asset_materialization else None
    return entry.value if isinstance(entry, dg.IntMetadataValue) and entry.value is not None else 0


def _batch_report(key: dg.AssetKey, generation: Generation, before: Generation | None) -> list[Event]:
    view = generation.views[key.path[-1]]
    return [
        dg.AssetMaterialization(key, metadata=metadata.of_refresh(view, generation, before)),
        *asset_checks.evaluations(asset_checks.check_batch_view(key, generation, before)),
    ]


def _refresh_request(instance: dg.DagsterInstance, tick: Tick, layers: Deployment) -> Sequence[dg.RunRequest]:
    if not tick.refresh_needed:
        return []
    unfinished = dg.RunsFilter(job_name=NIGHTLY_REFRESH, statuses=_UNFINISHED)
    if instance.get_runs(unfinished, limit=1):
        return []
    generation = layers.serving.generation()
    number = generation.number if generation else 0
    return [
        dg.RunRequest(
            run_key=f"after-generation-{number}-{int(time.time() // REQUEST_AGAIN_S)}",
            tags={"lambda_pipeline/asked_by": "capture_changes"},
        )
    ]


def _said(tick: Tick) -> str:
    """One line for the tick's page: what was done, since a tick without a run is called skipped."""
    polls = _counted(len(tick.polls), "poll", "polls")
    if tick.refresh_needed:
        return f"{polls}: {tick.refresh_needed}; a refresh is under way or was asked for"
    parts = [f"{polls}: captured {_counted(tick.count, 'change', 'changes')}"]
    parts += [f"{tick.deleted} of them deletes"] if tick.deleted else []
    parts += [f"pruned {_counted(tick.pruned, 'entry', 'entries')}"] if tick.pruned else []
    parts += [f"overlay made anew ({tick.rebuilt})"] if tick.rebuilt else []
    frontier = f"; complete up to {tick.frontier.isoformat(timespec='milliseconds')}" if tick.frontier else ""
    return ", ".join(parts) + frontier


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
