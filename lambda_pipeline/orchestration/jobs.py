"""Jobs: the nightly refresh, the parity check, and the ways to ask. Results are files; runs hold counts."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from lambda_pipeline.errors import LambdaPipelineError, ParityMismatchError
from lambda_pipeline.operations.parity import DEFAULT_SAMPLE, check_parity
from lambda_pipeline.operations.parity_record import record_parity
from lambda_pipeline.orchestration import metadata
from lambda_pipeline.orchestration.assets import failure, parity_check_specs, view_names
from lambda_pipeline.orchestration.examples import (
    PARITY_EXAMPLE,
    describe_with_example,
    sql_query_example,
    view_query_example,
)
from lambda_pipeline.orchestration.launch_config import (
    ParityOptions,
    ViewChanges,
    ViewQuery,
    check_parity_options,
    check_sql_query,
    check_view_query,
    over_views,
    sql_query_model,
)
from lambda_pipeline.orchestration.question_job import leaving_a_file, question_job, refuse_environment, saying_why
from lambda_pipeline.orchestration.report_asset import OPERATIONS_REPORT
from lambda_pipeline.orchestration.resources import DeploymentResource
from lambda_pipeline.queries import QueryFolder, ask_query
from lambda_pipeline.serving import Answer, Serving
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import ViewFolder

NIGHTLY_REFRESH = "nightly_refresh"


def nightly_refresh(views: Sequence[str], settings: Settings) -> Any:
    """One generation, and then a sampled comparison of both layers with the source, and the report."""
    parity = [spec.key for spec in parity_check_specs(views)] if settings.parity_sample else []
    return dg.define_asset_job(
        NIGHTLY_REFRESH,
        selection=dg.AssetSelection.groups("batch")
        | dg.AssetSelection.checks(*parity)
        | dg.AssetSelection.assets(OPERATIONS_REPORT),
        description="One generation: every view from one snapshot, published together; then the parity check, and the "
        "operations report.",
    )


def parity_check_job(settings: Settings) -> dg.JobDefinition:
    """The comparison of served rows with their recompute, over a sample or over everything."""

    @dg.op(description="Recomputes resources from HAPI's tables and compares them with what is served.")
    def run_parity_check(context: dg.OpExecutionContext, config: ParityOptions, deployment: DeploymentResource) -> None:
        refuse_environment(context)
        sample = None if config.everything else config.sample or settings.parity_sample or DEFAULT_SAMPLE
        serving = deployment.get().serving
        try:
            found = [check_parity(serving, mode, sample=sample, seed=config.seed) for mode in config.modes()]
        except LambdaPipelineError as error:
            raise failure(error) from None
        for parity in found:
            record_parity(serving, parity)
        facts = metadata.describe_parities(found)
        if any(parity.mismatches for parity in found):
            summary = "; ".join(map(str, found))
            raise dg.Failure(summary, metadata={"error": ParityMismatchError.code, **facts}, allow_retries=False)
        context.add_output_metadata(facts)

    @dg.config_mapping
    def parity_check_config(config: ParityOptions) -> dg.RunConfig:
        check_parity_options(config)
        return dg.RunConfig(ops={"run_parity_check": config})

    @dg.job(
        config=saying_why(parity_check_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "check"},
        description=describe_with_example(
            "Compares what is served with a recompute from HAPI's tables; fails where anything differs.", PARITY_EXAMPLE
        ),
    )
    def parity_check() -> None:
        run_parity_check()

    return parity_check


def query_jobs(folder: ViewFolder, queries: QueryFolder) -> list[dg.JobDefinition]:
    """The jobs that analysts launch."""
    return [view_query_job(folder), view_changes_job(folder), sql_query_job(folder, queries)]


def view_query_job(folder: ViewFolder) -> dg.JobDefinition:
    """Rows of one view, filtered."""
    by_name = {view.name: view for view in folder.views}

    def ask(serving: Serving, config: Any) -> Answer:
        return serving.query(
            config.view.value,
            where=config.filters(),
            columns=config.column_names(),
            options=config.read_options(),
        )

    return question_job(
        "view_query",
        over_views(ViewQuery, view_names(folder), folder.views),
        does="Reads one merged view, filters it, and writes the rows to a file.",
        description=describe_with_example(
            "Rows of one view, merged first, then filtered, then limited; as a file.",
            view_query_example(view_names(folder), folder.views),
        ),
        check=lambda config: check_view_query(config, by_name),
        run=leaving_a_file(ask),
    )


def view_changes_job(folder: ViewFolder) -> dg.JobDefinition:
    """Rows of one view that came and went since the published generation."""
    by_name = {view.name: view for view in folder.views}

    def ask(serving: Serving, config: Any) -> Answer:
        return serving.changes(
            config.view.value,
            where=config.filters(),
            columns=config.column_names(),
            options=config.read_options(),
        )

    return question_job(
        "view_changes",
        over_views(ViewChanges, view_names(folder), folder.views),
        does="Compares one merged view with its batch rows, and writes the difference to a file.",
        description=describe_with_example(
            "Rows of one view that were added or removed since the published generation; as a file.",
            view_query_example(view_names(folder), folder.views),
        ),
        check=lambda config: check_view_query(config, by_name),
        run=leaving_a_file(ask),
    )


def sql_query_job(folder: ViewFolder, queries: QueryFolder) -> dg.JobDefinition:
    """A saved query, or one SELECT over the views."""

    def ask(serving: Serving, config: Any) -> Answer:
        options = config.read_options(compare=config.compare)
        return ask_query(serving, config.saved(queries), config.bound(), options=options)

    return question_job(
        "sql_query",
        sql_query_model(queries),
        does="Runs one SELECT over merged views and writes the rows to a file.",
        description=describe_with_example(
            "A saved query by its name, or one read-only SELECT, over the merged views; parameters are bound; rows as "
            "a file.",
            sql_query_example(view_names(folder), folder.views),
        ),
        check=lambda config: check_sql_query(config, folder, queries),
        run=leaving_a_file(ask),
    )
