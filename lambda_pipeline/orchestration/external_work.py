"""Events of refreshes and comparisons that no run reports: made from the command line, or of other selected views.

What a tick itself did is reported in `sensors.py`, and what a run did by the run.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline.operations.parity_record import ParityRecord, read_parities
from lambda_pipeline.orchestration import asset_checks, metadata
from lambda_pipeline.orchestration.assets import (
    batch_key,
    generation_before,
    merged_event,
    served_key,
    source_events,
    view_names,
)

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation

OWN_REPORT_S = 15
"""How long the run that published a generation has to report it, before the sensor does."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_will_report(instance: dg.DagsterInstance, deployment: Deployment) -> bool:
    """Whether a run may be about to report the newest generation itself."""
    generation = deployment.serving.generation()
    if generation is None or (datetime.now(UTC) - generation.published_at).total_seconds() >= OWN_REPORT_S:
        return False
    return bool(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1))


def external_refresh_events(instance: dg.DagsterInstance, deployment: Deployment) -> list[Event]:
    """Events of views for which an older generation than the published one was reported last."""
    generation = deployment.serving.generation()
    if generation is None:
        return []
    keys = [batch_key(name) for name in view_names(deployment) if name in generation.views]
    known = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(keys)
    }
    reported = {key: _reported_generation(known.get(key)) for key in keys}
    outdated = [key for key, number in reported.items() if number < generation.number]
    before = {number: generation_before(deployment, number + 1) for number in {reported[key] for key in outdated}}
    names = [key.path[-1] for key in outdated]
    events: list[Event] = [*source_events(generation, names)]
    for key in outdated:
        events += _view_events(key, generation, before[reported[key]])
    return events


def new_comparisons(deployment: Deployment, since: float) -> list[ParityRecord]:
    """Comparisons that were recorded after a moment, in seconds since 1970; none while Redis is away."""
    if not deployment.settings.parity_sample:
        return []
    try:
        found = read_parities(deployment.overlay).values()
    except RedisUnavailableError:
        return []
    return [record for record in found if record.made_at.timestamp() > since]


def parity_events(
    instance: dg.DagsterInstance, records: Sequence[ParityRecord], views: Sequence[str]
) -> list[dg.AssetCheckEvaluation]:
    """Results of the check `parity` for comparisons that are newer than the one that it shows."""
    keys = {
        dg.AssetCheckKey(served_key(record.parity.mode, record.view), asset_checks.PARITY): record
        for record in records
        if record.view in views
    }
    if not keys:
        return []
    shown = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    return asset_checks.to_evaluations(
        [
            asset_checks.parity_result(key.asset_key, record.parity)
            for key, record in keys.items()
            if key not in shown or not _is_known(record, shown[key])
        ]
    )


def recorded_evaluation(record: AssetCheckExecutionRecord | None) -> dg.AssetCheckEvaluation | None:
    """The result in a record; None where a run has only planned it."""
    evaluation = record.evaluation if record else None
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def _is_known(record: ParityRecord, shown: AssetCheckExecutionRecord) -> bool:
    """Whether the check shows this comparison, or a newer one, or is about to: a run is at it."""
    evaluation = recorded_evaluation(shown)
    if evaluation is None or shown.event is None:
        return True
    seed = evaluation.metadata.get("seed")
    is_the_same = seed is not None and seed.value == record.parity.seed
    return is_the_same or shown.event.timestamp >= record.made_at.timestamp()


def _reported_generation(event: dg.EventLogEntry | None) -> int:
    """The generation number in a materialization; 0 without one."""
    entry = event.asset_materialization.metadata.get("generation") if event and event.asset_materialization else None
    return entry.value if isinstance(entry, dg.IntMetadataValue) and entry.value is not None else 0


def _view_events(key: dg.AssetKey, generation: Generation, before: Generation | None) -> list[Event]:
    view = generation.views[key.path[-1]]
    results = [
        *asset_checks.check_batch_view(key, generation, before),
        asset_checks.definition_result(key, generation.failures.get(view.view.name, "")),
    ]
    return [
        dg.AssetMaterialization(key, metadata=metadata.describe_refresh(view, generation, before)),
        merged_event(view, generation),
        *asset_checks.to_evaluations(results),
    ]
