r"""Assets: HAPI's resources, the batch views, the speed layer beside them, and the merged views that people ask.

    hapi/<Type> -> batch/<view> -> merged/<view>
               \-> speed_layer -/

Batch and merged views have one check that is a step of its own, parity; the others come with the refresh.

One file in `sql/view_definitions` is one batch and one merged asset. Merged views are no tables: the serving layer
makes them for each question.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import (
    LambdaPipelineError,
    NoGenerationError,
    RefreshInProgressError,
    ServerUnavailableError,
    ViewNotPublishedError,
)
from lambda_pipeline.operations.parity import SERVED_MODES, ServedMode, check_parity
from lambda_pipeline.orchestration import asset_checks, metadata
from lambda_pipeline.orchestration.resources import DeploymentResource
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.tick import Tick
from lambda_pipeline.views import View

SPEED_LAYER = dg.AssetKey("speed_layer")
REFRESH_POOL = "warehouse_refresh"

NIGHTLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=25))
"""A nightly refresh, and the time it may take."""


def hapi_key(resource_type: str) -> dg.AssetKey:
    """The resources of one type in HAPI's tables."""
    return dg.AssetKey(["hapi", resource_type])


def batch_key(view: str) -> dg.AssetKey:
    """A view as of the published generation."""
    return dg.AssetKey(["batch", view])


def merged_key(view: str) -> dg.AssetKey:
    """A view as the serving layer answers it."""
    return dg.AssetKey(["merged", view])


def pipeline_assets(views: Sequence[View], settings: Settings) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """All assets of a deployment."""
    types = sorted({view.resource for view in views})
    speed = [speed_layer(types, settings)] if settings.speed_layer else []
    return [*map(hapi_resources, types), batch_views(views), *speed, *(merged_view(view, settings) for view in views)]


def hapi_resources(resource_type: str) -> dg.AssetSpec:
    """An external asset: HAPI writes it, nothing here does."""
    return dg.AssetSpec(
        hapi_key(resource_type),
        group_name="source",
        kinds={"postgres", "fhir"},
        description=f"{resource_type} resources in HAPI FHIR's own tables.",
    )


def batch_view(view: View) -> dg.AssetSpec:
    """One view of the batch layer."""
    return dg.AssetSpec(
        batch_key(view.name),
        deps=[hapi_key(view.resource)],
        group_name="batch",
        kinds={"postgres", "sql"},
        description=view.description or None,
        code_version=view.digest,
        freshness_policy=NIGHTLY,
        tags={"layer": "batch"},
        metadata=metadata.of_batch_view(view),
    )


def merged_view(view: View, settings: Settings) -> dg.AssetSpec:
    """One view of the serving layer: batch rows that nothing supersedes, and the overlay's."""
    return dg.AssetSpec(
        merged_key(view.name),
        deps=[batch_key(view.name), *([SPEED_LAYER] if settings.speed_layer else [])],
        group_name="merged",
        kinds={"postgres", "redis"},
        description=f"{view.description}\n\nBatch and speed merged for each question: ask it with `view_query`, "
        f"`sql_query`, or the resource `serving`.".strip(),
        tags={"layer": "serving"},
        metadata=metadata.of_view(view),
    )


class Refresh(dg.Config):
    """How a generation is made."""

    full: bool = False


def batch_views(views: Sequence[View]) -> dg.AssetsDefinition:
    """The one step that makes a generation: all views from one snapshot, published by one commit, or nothing."""
    specs = [batch_view(view) for view in views]

    @dg.multi_asset(
        name="batch_views",
        specs=specs,
        check_specs=[check for spec in specs for check in asset_checks.batch_check_specs(spec.key)],
        can_subset=True,
        pool=REFRESH_POOL,
        retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
        description="Refreshes every view and publishes them together, whichever of them are selected.",
    )
    def refresh_all(
        context: dg.AssetExecutionContext, config: Refresh, deployment: DeploymentResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        layers = deployment.get()
        before = layers.serving.generation()
        if not context.selected_asset_keys:
            current = _published(before)
            yield from _wanted(context, _check_results(current, generation_before(layers, current.number)))
            return
        generation = _refreshed(layers, full=config.full)
        found = _check_results(generation, before)
        for key in sorted(context.selected_asset_keys):
            name = key.path[-1]
            yield dg.MaterializeResult(
                asset_key=key,
                data_version=dg.DataVersion(f"generation {generation.number}"),
                metadata=metadata.of_refresh(generation.views[name], generation, before),
                check_results=_wanted(context, [each for each in found if each.asset_key == key]),
            )

    return refresh_all


def parity_checks(views: Sequence[View], settings: Settings) -> dg.AssetChecksDefinition:
    """The comparison with a recompute: of batch rows, and of merged ones. A step of its own, after the publication.

    So it takes nothing back, does not make the refresh again, and can be launched by itself for any view.
    """

    @dg.multi_asset_check(
        name="parity_checks",
        specs=parity_check_specs(views),
        can_subset=True,
        description=f"Recomputes up to {settings.parity_sample} random resources per view and side from HAPI's tables.",
    )
    def compare_samples(
        context: dg.AssetCheckExecutionContext, deployment: DeploymentResource
    ) -> Iterator[dg.AssetCheckResult]:
        layers = deployment.get()
        for mode in SERVED_MODES:
            keys = {_served_key(mode, view.name) for view in views}
            wanted = sorted(keys & {key.asset_key for key in context.selected_asset_check_keys})
            yield from _parity(layers, mode, wanted, settings.parity_sample) if wanted else ()

    return compare_samples


def parity_check_specs(views: Sequence[View]) -> list[dg.AssetCheckSpec]:
    """One for each batch view, and one for each merged view, which waits for the batch view."""
    return [
        *(asset_checks.parity_check_spec(batch_key(view.name)) for view in views),
        *(asset_checks.parity_check_spec(merged_key(view.name), after=batch_key(view.name)) for view in views),
    ]


def speed_layer(types: Sequence[str], settings: Settings) -> dg.AssetsDefinition:
    """The overlay. The sensor keeps it; materializing it by hand makes it anew from the source."""

    @dg.asset(
        key=SPEED_LAYER,
        deps=[hapi_key(resource_type) for resource_type in types],
        check_specs=asset_checks.speed_check_specs(SPEED_LAYER),
        group_name="speed",
        kinds={"redis"},
        tags={"layer": "speed"},
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=timedelta(seconds=max(300.0, 5 * settings.report_interval_s))
        ),
        description="The changes since the published generation, in Redis, as rows of every view. The sensor "
        "`capture_changes` keeps it. Materializing it makes it anew from HAPI's tables.",
    )
    def rebuild(deployment: DeploymentResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        layers = deployment.get()
        try:
            poll = layers.poller.poll(rebuild=True)
        except LambdaPipelineError as error:
            raise failure(error) from None
        if poll.waiting:
            raise dg.Failure(f"the overlay cannot be made anew: {poll.waiting}", allow_retries=False)
        tick = Tick((poll,), poll.seconds)
        found = asset_checks.check_speed_layer(SPEED_LAYER, tick, layers)
        return dg.MaterializeResult(metadata=metadata.of_tick(tick, layers), check_results=found)

    return rebuild


def failure(error: LambdaPipelineError) -> dg.Failure:
    """What ends a run: the error's own words; retried only where waiting may help."""
    passing = isinstance(error, ServerUnavailableError | RefreshInProgressError) or isinstance(
        error.__cause__, psycopg.OperationalError
    )
    return dg.Failure(str(error), metadata=metadata.of_error(error), allow_retries=passing)


def generation_before(layers: Deployment, number: int) -> Generation | None:
    """The newest generation below that number; None where there is none."""
    with layers.database.connect() as connection:
        return published(connection, below=number)


def _refreshed(layers: Deployment, *, full: bool) -> Generation:
    try:
        return layers.refresh(full=full)
    except LambdaPipelineError as error:
        raise failure(error) from None


def _published(generation: Generation | None) -> Generation:
    if generation is None:
        raise failure(NoGenerationError("no generation has been published yet"))
    return generation


def _check_results(generation: Generation, before: Generation | None) -> list[dg.AssetCheckResult]:
    return [
        result
        for name in generation.views
        for result in asset_checks.check_batch_view(batch_key(name), generation, before)
    ]


def _served_key(mode: ServedMode, view: str) -> dg.AssetKey:
    return batch_key(view) if mode == "batch" else merged_key(view)


def _parity(
    layers: Deployment, mode: ServedMode, keys: Sequence[dg.AssetKey], sample: int
) -> Iterator[dg.AssetCheckResult]:
    """A result for each view; one that the generation does not hold fails alone."""
    try:
        generation = layers.serving.generation()
        held = generation.views if generation else {}
        names = [key.path[-1] for key in keys if key.path[-1] in held or not held]
        parity = check_parity(layers.serving, mode, sample=sample, views=names)
    except LambdaPipelineError as error:
        yield from (asset_checks.parity_not_checked(key, error) for key in keys)
        return
    for key in keys:
        name = key.path[-1]
        if name in parity.views:
            yield asset_checks.check_parity_of(key, parity)
        else:
            refusal = ViewNotPublishedError(f"view {name} is not in the published generation")
            yield asset_checks.parity_not_checked(key, refusal)


def _wanted(context: dg.AssetExecutionContext, found: Sequence[dg.AssetCheckResult]) -> list[dg.AssetCheckResult]:
    """Those that this run may report: a view's checks can be selected one by one."""
    wanted = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
    return [each for each in found if (each.asset_key, each.check_name) in wanted]
