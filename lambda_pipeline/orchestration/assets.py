r"""Assets: HAPI's resources, the batch views, the speed layer beside them, and the merged views that people query.

    hapi/<Type> -> batch/<view> -> merged/<view>
               \-> speed_layer -/

Each file in `sql/view_definitions` is one batch and one merged asset, also one that does not compile: its view goes on
as it is published. Merged views are not tables: the serving layer makes them for each question. The parity check is a
step of its own; the other checks are results of the refresh.

Keys and materializations belong here. What a check looks at does not (`asset_checks.py`), nor what the UI shows
(`metadata.py`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from lambda_pipeline.batch.generation import Generation, PublishedView, published
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import IncompleteRefreshError, LambdaPipelineError, NoGenerationError
from lambda_pipeline.operations.notify import Notice, Notifier
from lambda_pipeline.operations.parity import SERVED_MODES, ServedMode, check_parity
from lambda_pipeline.operations.parity_record import record_parity
from lambda_pipeline.operations.persistent_refresh import FailedAttempt, refresh_persistently
from lambda_pipeline.operations.view_tests import run_tests
from lambda_pipeline.orchestration import asset_checks, metadata
from lambda_pipeline.orchestration.resources import DeploymentResource
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.tick import Tick
from lambda_pipeline.views import View, ViewFolder, problems_by_view

SPEED_LAYER = dg.AssetKey("speed_layer")
REFRESH_POOL = "warehouse_refresh"

ATTEMPTS_UNTOLD = 3
"""A refresh that fails fewer times than this, and then works, is told to nobody: half a minute is not worth a call."""

NIGHTLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=25))
"""Covers a nightly refresh and its duration."""


def hapi_key(resource_type: str) -> dg.AssetKey:
    """Key of the resources of one type in HAPI's tables."""
    return dg.AssetKey(["hapi", resource_type])


def batch_key(view: str) -> dg.AssetKey:
    """Key of a view as of the published generation."""
    return dg.AssetKey(["batch", view])


def merged_key(view: str) -> dg.AssetKey:
    """Key of a view as the serving layer answers it."""
    return dg.AssetKey(["merged", view])


def served_key(mode: ServedMode, view: str) -> dg.AssetKey:
    """Key of a view as a mode serves it."""
    return batch_key(view) if mode == "batch" else merged_key(view)


def source_events(generation: Generation, views: Collection[str]) -> list[dg.AssetMaterialization]:
    """That the sources of these views were read, as of a generation.

    They are materializations since the UI shows no other event of an asset that Dagster cannot make. They come once per
    generation: the UI takes a check for outdated when a newer materialization follows it.
    """
    found = {view.view.resource: view.resources for name, view in generation.views.items() if name in views}
    return [
        dg.AssetMaterialization(hapi_key(resource_type), metadata=metadata.describe_source(resources, generation))
        for resource_type, resources in sorted(found.items())
    ]


def merged_event(view: PublishedView, generation: Generation) -> dg.AssetMaterialization:
    """That questions over a view are answered from a generation, and the changes since it."""
    return dg.AssetMaterialization(merged_key(view.view.name), metadata=metadata.describe_merged(view, generation))


def job_subject(job: str) -> str:
    """The subject of notices about runs of a job."""
    return f"job {job}"


def view_names(defined: ViewFolder | Deployment) -> list[str]:
    """Names of all views that files define, those of files that do not compile included."""
    return sorted({view.name for view in defined.views} | {file.view for file in defined.broken})


def pipeline_assets(folder: ViewFolder, settings: Settings) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """All assets of a deployment."""
    types = sorted({view.resource for view in folder.views})
    batch = [batch_view(view) for view in folder.views]
    merged = [merged_view(view, settings) for view in folder.views]
    compiled = {view.name for view in folder.views}
    for name, problem in problems_by_view(folder.broken).items():
        if name not in compiled:
            batch.append(broken_view(batch_key(name), "batch", problem))
            merged.append(broken_view(merged_key(name), "merged", problem, deps=[batch_key(name)]))
    speed = [speed_layer(types, settings)] if settings.speed_layer else []
    tests = [check for view in folder.views for check in asset_checks.specs_of_tests(batch_key(view.name), view)]
    return [*map(hapi_resources, types), batch_views(batch, tests), *speed, *merged]


def hapi_resources(resource_type: str) -> dg.AssetSpec:
    """An external asset: HAPI writes it."""
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
        metadata=metadata.describe_batch_view(view),
    )


def merged_view(view: View, settings: Settings) -> dg.AssetSpec:
    """One view of the serving layer: batch rows that no entry of the overlay replaces, and the rows of the overlay."""
    return dg.AssetSpec(
        merged_key(view.name),
        deps=[batch_key(view.name), *([SPEED_LAYER] if settings.speed_layer else [])],
        group_name="merged",
        kinds={"postgres", "redis"},
        description=f"{view.description}\n\nBatch and speed layer, merged for each question: query it with "
        f"`view_query`, `sql_query`, or the resource `serving`.".strip(),
        tags={"layer": "serving"},
        metadata=metadata.describe_view(view),
    )


def broken_view(key: dg.AssetKey, group: str, problem: str, deps: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    """A view whose file does not compile: what is published of it goes on."""
    return dg.AssetSpec(
        key,
        deps=deps,
        group_name=group,
        description=f"The file of this view does not compile; what is published of it goes on.\n\n```\n{problem}\n```",
    )


class Refresh(dg.Config):
    """Run config of a refresh."""

    full: bool = False


def batch_views(specs: Sequence[dg.AssetSpec], tests: Sequence[dg.AssetCheckSpec] = ()) -> dg.AssetsDefinition:
    """The one step that makes a generation: all views from one snapshot, published by one commit.

    Args:
        specs: of the views.
        tests: the checks of their files of tests.
    """

    @dg.multi_asset(
        name="batch_views",
        specs=specs,
        check_specs=[*(check for spec in specs for check in asset_checks.batch_check_specs(spec.key)), *tests],
        can_subset=True,
        pool=REFRESH_POOL,
        description="Refreshes every view and publishes them together, whichever of them are selected.",
    )
    def refresh_all(
        context: dg.AssetExecutionContext, config: Refresh, deployment: DeploymentResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        try:
            yield from _refresh_selected(context, deployment.get(), full=config.full)
        except LambdaPipelineError as error:
            raise failure(error) from None

    return refresh_all


def parity_checks(view: str, settings: Settings) -> dg.AssetChecksDefinition:
    """The comparison of a view's batch and merged rows with a recompute: a step of its own, after the publication.

    A failure therefore neither withdraws the generation nor repeats the refresh, and the check can be launched alone.
    Dagster skips the step of a view that a refresh could not make, and no other.
    """

    @dg.multi_asset_check(
        name=f"parity_of_{view}",
        specs=parity_check_specs([view]),
        can_subset=True,
        description=f"Recomputes up to {settings.parity_sample} random resources per side from HAPI's tables.",
    )
    def compare_samples(
        context: dg.AssetCheckExecutionContext, deployment: DeploymentResource
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {check.asset_key for check in context.selected_asset_check_keys}
        for mode in SERVED_MODES:
            if (key := served_key(mode, view)) in selected:
                yield _compare_sample(deployment.get(), mode, key, settings.parity_sample)

    return compare_samples


def parity_check_specs(views: Sequence[str]) -> list[dg.AssetCheckSpec]:
    """One check of each batch view, and one of each merged view, which runs after the refresh of the batch view."""
    return [
        *(asset_checks.parity_check_spec(batch_key(view)) for view in views),
        *(asset_checks.parity_check_spec(merged_key(view), after=batch_key(view)) for view in views),
    ]


def speed_layer(types: Sequence[str], settings: Settings) -> dg.AssetsDefinition:
    """The overlay. The sensor keeps it up to date; materializing it by hand rebuilds it from the source."""

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
        "`capture_changes` keeps it up to date. Materializing it rebuilds it from HAPI's tables.",
    )
    def rebuild(deployment: DeploymentResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return _rebuild_overlay(deployment.get())

    return rebuild


def failure(error: LambdaPipelineError) -> dg.Failure:
    """Convert an error into a run failure; whatever could be repeated has been."""
    return dg.Failure(str(error), metadata=metadata.describe_error(error), allow_retries=False)


def generation_before(deployment: Deployment, number: int) -> Generation | None:
    """The newest generation with a smaller number; None where there is none."""
    with deployment.database.connect() as connection:
        return published(connection, below=number)


def definition_problems(deployment: Deployment, generation: Generation | None) -> dict[str, str]:
    """Why views are not as their files define them, by name: by the last refresh, and by the files of this process."""
    recorded = dict(generation.failures) if generation else {}
    return recorded | problems_by_view(deployment.broken)


def _refresh_selected(
    context: dg.AssetExecutionContext, deployment: Deployment, *, full: bool
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Refresh, and report the selected views; where only checks are selected, check the published generation."""
    if context.selected_asset_keys:
        generation = refresh_persistently(deployment, full=full, warn=partial(_warn_of_attempt, context, deployment))
    else:
        generation = _published(deployment.serving.generation())
    before = generation_before(deployment, generation.number)
    selected = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    for event in source_events(generation, {key.path[-1] for key in context.selected_asset_keys}):
        context.log_event(event)
    problems = definition_problems(deployment, generation)
    tests = _test_views(context, deployment)
    for name, view in sorted(generation.views.items()):
        key = batch_key(name)
        results = [
            *asset_checks.check_batch_view(key, generation, before),
            asset_checks.definition_result(key, problems.get(name, "")),
            *tests.get(key, ()),
        ]
        results = [result for result in results if (key, result.check_name) in selected]
        if key not in context.selected_asset_keys:
            yield from results
            continue
        yield dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(f"generation {generation.number}"),
            metadata=metadata.describe_refresh(view, generation, before),
            check_results=results,
        )
        context.log_event(merged_event(view, generation))
    for name, problem in problems.items():
        if name not in generation.views and (batch_key(name), asset_checks.DEFINITION) in selected:
            yield asset_checks.definition_result(batch_key(name), problem)
    for key, results in tests.items():
        if key.path[-1] not in generation.views:
            yield from (result for result in results if (key, result.check_name) in selected)
    if context.selected_asset_keys and problems:
        _report_parity(context.instance, deployment, generation)
        raise _incomplete(generation, problems)


def _test_views(
    context: dg.AssetExecutionContext, deployment: Deployment
) -> dict[dg.AssetKey, list[dg.AssetCheckResult]]:
    """Results of the tests of all views, by the key of the view; without outcomes where they could not run at all."""
    try:
        outcomes = run_tests(deployment.database, deployment.views)
    except LambdaPipelineError as error:
        context.log.warning("the tests of views could not run: %s", error)
        outcomes = []
    return {
        key: asset_checks.results_of_tests(key, view, outcomes)
        for view in deployment.views
        if (key := batch_key(view.name)) and view.tests
    }


def _warn_of_attempt(context: dg.AssetExecutionContext, deployment: Deployment, attempt: FailedAttempt) -> None:
    context.log.warning(str(attempt))
    if attempt.number >= ATTEMPTS_UNTOLD:
        subject = job_subject(context.run.job_name)
        Notifier(deployment.settings).tell(Notice(subject, str(attempt), attempt.error.code, attempt.error.hint))


def _incomplete(generation: Generation, problems: Mapping[str, str]) -> IncompleteRefreshError:
    named = "; ".join(f"{name}: {problem}" for name, problem in sorted(problems.items()))
    return IncompleteRefreshError(
        f"generation {generation.number} is published, but not as every file defines it: {named}",
        hint="correct the file and run the refresh again; lambda-pipeline views lint shows what is wrong with a file",
    )


def _report_parity(instance: dg.DagsterInstance, deployment: Deployment, generation: Generation) -> None:
    """Compare samples of a generation whose run is about to fail: Dagster skips the steps that would do it."""
    sample = deployment.settings.parity_sample
    for mode in SERVED_MODES if sample else ():
        results = [
            _compare_sample(deployment, mode, served_key(mode, name), sample) for name in sorted(generation.views)
        ]
        for evaluation in asset_checks.to_evaluations(results):
            instance.report_runless_asset_event(evaluation)


def _published(generation: Generation | None) -> Generation:
    if generation is None:
        raise NoGenerationError("no generation has been published yet")
    return generation


def _rebuild_overlay(deployment: Deployment) -> dg.MaterializeResult[Any]:
    try:
        poll = deployment.poller.poll(rebuild=True)
    except LambdaPipelineError as error:
        raise failure(error) from None
    if poll.waiting:
        raise dg.Failure(f"the overlay cannot be rebuilt: {poll.waiting}", allow_retries=False)
    tick = Tick((poll,), poll.seconds)
    results = asset_checks.check_speed_layer(SPEED_LAYER, tick, deployment)
    return dg.MaterializeResult(metadata=metadata.describe_tick(tick, deployment), check_results=results)


def _compare_sample(deployment: Deployment, mode: ServedMode, key: dg.AssetKey, sample: int) -> dg.AssetCheckResult:
    try:
        parity = check_parity(deployment.serving, mode, sample=sample, views=[key.path[-1]])
    except LambdaPipelineError as error:
        return asset_checks.parity_not_checked(key, error)
    record_parity(deployment.serving, parity)
    return asset_checks.parity_result(key, parity)
