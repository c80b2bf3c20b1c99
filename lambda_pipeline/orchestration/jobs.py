"""Jobs: the nightly refresh, the parity check, and the ways to ask. Results are files; runs hold counts."""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
from pydantic import ValidationError

from lambda_pipeline.errors import BadRequestError, LambdaPipelineError, ParityMismatchError
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
    FileOptions,
    ParityOptions,
    ViewChanges,
    ViewQuery,
    check_parity_options,
    check_sql_query,
    check_view_query,
    environment_references,
    over_views,
    sql_query_model,
)
from lambda_pipeline.orchestration.report_asset import OPERATIONS_REPORT
from lambda_pipeline.orchestration.resources import DeploymentResource, ServingResource
from lambda_pipeline.queries import QueryFolder, ask_query
from lambda_pipeline.serving import Answer
from lambda_pipeline.serving.export import write
from lambda_pipeline.settings import Settings, load_settings
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
    model: Any = over_views(ViewQuery, view_names(folder), folder.views)

    @dg.op(description="Reads one merged view, filters it, and writes the rows to a file.")
    def run_view_query(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        def ask() -> Answer:
            return serving.serving.query(
                config.view.value,
                where=config.filters(),
                columns=config.column_names(),
                options=config.read_options(),
            )

        run_question(context, config, ask)

    @dg.config_mapping
    def view_query_config(config: model) -> dg.RunConfig:
        check_view_query(config, by_name)
        return dg.RunConfig(ops={"run_view_query": config})

    @dg.job(
        config=saying_why(view_query_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description=describe_with_example(
            "Rows of one view, merged first, then filtered, then limited; as a file.",
            view_query_example(view_names(folder), folder.views),
        ),
    )
    def view_query() -> None:
        run_view_query()

    return view_query


def view_changes_job(folder: ViewFolder) -> dg.JobDefinition:
    """Rows of one view that came and went since the published generation."""
    by_name = {view.name: view for view in folder.views}
    model: Any = over_views(ViewChanges, view_names(folder), folder.views)

    @dg.op(description="Compares one merged view with its batch rows, and writes the difference to a file.")
    def run_view_changes(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        def ask() -> Answer:
            return serving.serving.changes(
                config.view.value,
                where=config.filters(),
                columns=config.column_names(),
                options=config.read_options(),
            )

        run_question(context, config, ask)

    @dg.config_mapping
    def view_changes_config(config: model) -> dg.RunConfig:
        check_view_query(config, by_name)
        return dg.RunConfig(ops={"run_view_changes": config})

    @dg.job(
        config=saying_why(view_changes_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description=describe_with_example(
            "Rows of one view that were added or removed since the published generation; as a file.",
            view_query_example(view_names(folder), folder.views),
        ),
    )
    def view_changes() -> None:
        run_view_changes()

    return view_changes


def sql_query_job(folder: ViewFolder, queries: QueryFolder) -> dg.JobDefinition:
    """A saved query, or one SELECT over the views."""
    model: Any = sql_query_model(queries)

    @dg.op(description="Runs one SELECT over merged views and writes the rows to a file.")
    def run_sql_query(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        def ask() -> Answer:
            options = config.read_options(compare=config.compare)
            return ask_query(serving.serving, config.saved(queries), config.bound(), options=options)

        run_question(context, config, ask)

    @dg.config_mapping
    def sql_query_config(config: model) -> dg.RunConfig:
        check_sql_query(config, folder, queries)
        return dg.RunConfig(ops={"run_sql_query": config})

    @dg.job(
        config=saying_why(sql_query_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description=describe_with_example(
            "A saved query by its name, or one read-only SELECT, over the merged views; parameters are bound; rows as "
            "a file.",
            sql_query_example(view_names(folder), folder.views),
        ),
    )
    def sql_query() -> None:
        run_sql_query()

    return sql_query


def saying_why(mapping: dg.ConfigMapping) -> dg.ConfigMapping:
    """The same mapping, which refuses config by Dagster's own error: Dagster hides the message of any other one."""

    def map_config(config: Any) -> Any:
        try:
            return mapping.config_fn(config)
        except ValidationError as error:
            reason = "; ".join(f"{_place(item['loc'])}: {_reason(item['msg'])}" for item in error.errors())
        except BadRequestError as error:
            reason = str(error)
        raise dg.DagsterInvalidConfigError(reason, [], None)  # type: ignore[no-untyped-call]

    return mapping._replace(config_fn=map_config)


def _place(path: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")


def refuse_environment(context: dg.OpExecutionContext) -> None:
    """End a run whose config reads environment variables."""
    if hits := environment_references(context.run.run_config):
        raise dg.Failure(f"run config may not read environment variables: {', '.join(hits)}", allow_retries=False)


def run_question(context: dg.OpExecutionContext, options: FileOptions, ask: Callable[[], Answer]) -> None:
    """Ask, write the file, and leave the counts with the run; a refusal ends it without any number."""
    refuse_environment(context)
    try:
        answer = ask()
        name = options.name or f"{context.job_name}-{context.run.run_id}"
        file = write(answer, load_settings().results, name=name, format=options.format.value, run_id=context.run.run_id)
    except LambdaPipelineError as error:
        raise failure(error) from None
    context.add_output_metadata(metadata.describe_answer(answer, file, options.preview))
    context.log.info(
        "%s rows, valid as of %s, are in %s", f"{len(answer.rows):,}", answer.valid_as_of.isoformat(), file
    )
