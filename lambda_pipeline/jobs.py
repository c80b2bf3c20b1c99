"""Jobs: the nightly refresh, and the two ways to ask a question. Results are files; runs hold counts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lambda_pipeline import metadata
from lambda_pipeline.assets import failure
from lambda_pipeline.errors import BadRequestError, LambdaPipelineError
from lambda_pipeline.resources import ServingResource
from lambda_pipeline.run_config import (
    ResultOptions,
    SqlQuery,
    check_sql_query,
    check_view_query,
    environment_references,
    view_query_model,
)
from lambda_pipeline.serving import Answer
from lambda_pipeline.serving.export import write
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import View

nightly_refresh = dg.define_asset_job(
    "nightly_refresh",
    selection=dg.AssetSelection.groups("batch"),
    description="One generation: every view from one snapshot, published together.",
)


def query_jobs(views: Sequence[View]) -> list[dg.JobDefinition]:
    """The jobs that analysts launch."""
    return [view_query_job(views), sql_query_job(views)]


def view_query_job(views: Sequence[View]) -> dg.JobDefinition:
    """Rows of one view, filtered."""
    by_name = {view.name: view for view in views}
    model: Any = view_query_model(views)

    @dg.op(description="Reads one merged view, filters it, and writes the rows to a file.")
    def run_view_query(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        def ask() -> Answer:
            return serving.query(
                config.view.value,
                where=config.filters(),
                columns=config.column_names(),
                limit=config.limit,
                mode=config.mode.value,
                freshness_target_s=config.freshness_target_s,
                accept_quarantined=config.accept_quarantined,
            )

        _answer(context, config, ask)

    @dg.config_mapping
    def view_query_config(config: model) -> dg.RunConfig:
        with _refusals():
            check_view_query(config, by_name)
        return dg.RunConfig(ops={"run_view_query": config})

    @dg.job(
        config=view_query_config,
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description="Rows of one view, merged first, then filtered, then limited; as a file.",
    )
    def view_query() -> None:
        run_view_query()

    return view_query


def sql_query_job(views: Sequence[View]) -> dg.JobDefinition:
    """One SELECT over the views."""
    by_name = {view.name: view for view in views}

    @dg.op(description="Runs one SELECT over merged views and writes the rows to a file.")
    def run_sql_query(context: dg.OpExecutionContext, config: SqlQuery, serving: ServingResource) -> None:
        def ask() -> Answer:
            return serving.select(
                config.sql,
                config.bound(),
                limit=config.limit,
                mode=config.mode.value,
                freshness_target_s=config.freshness_target_s,
                compare=config.compare,
                accept_quarantined=config.accept_quarantined,
            )

        _answer(context, config, ask)

    @dg.config_mapping
    def sql_query_config(config: SqlQuery) -> dg.RunConfig:
        with _refusals():
            check_sql_query(config, by_name)
        return dg.RunConfig(ops={"run_sql_query": config})

    @dg.job(
        config=sql_query_config,
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description="One read-only SELECT over the merged views, with bound parameters; rows as a file.",
    )
    def sql_query() -> None:
        run_sql_query()

    return sql_query


@contextmanager
def _refusals() -> Iterator[None]:
    """A refusal as Dagster's own error for bad config: of others it shows that there was one, not what it said."""
    try:
        yield
    except BadRequestError as error:
        raise dg.DagsterInvalidConfigError(str(error), [], None) from None  # type: ignore[no-untyped-call]


def _answer(context: dg.OpExecutionContext, options: ResultOptions, ask: Callable[[], Answer]) -> None:
    """Ask, write the file, and leave the counts with the run; a refusal ends it without any number."""
    if hits := environment_references(context.run.run_config):
        raise dg.Failure(f"run config may not read environment variables: {', '.join(hits)}", allow_retries=False)
    try:
        answer = ask()
        name = options.name or f"{context.job_name}-{context.run.run_id}"
        file = write(answer, load_settings().results, name=name, format=options.format.value)
    except LambdaPipelineError as error:
        raise failure(error) from None
    context.add_output_metadata(metadata.of_answer(answer, file, options.preview))
