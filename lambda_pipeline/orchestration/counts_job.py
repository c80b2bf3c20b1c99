"""The job `view_counts`: rows of one view counted by group. The groups are a file; the run holds no value of them."""

from typing import Any

import dagster as dg

from lambda_pipeline.cohorts import count_by
from lambda_pipeline.cohorts.disclosure import MIN_CELL
from lambda_pipeline.orchestration.assets import view_names
from lambda_pipeline.orchestration.examples import describe_with_example, view_counts_example
from lambda_pipeline.orchestration.jobs import run_question, saying_why
from lambda_pipeline.orchestration.launch_config import ViewCounts, check_view_counts, over_views
from lambda_pipeline.orchestration.resources import ServingResource
from lambda_pipeline.serving import Answer
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import ViewFolder


def view_counts_job(folder: ViewFolder) -> dg.JobDefinition:
    """Counts of one view by group."""
    by_name = {view.name: view for view in folder.views}
    model: Any = over_views(ViewCounts, view_names(folder), folder.views)

    @dg.op(description="Counts the rows of one merged view by group, and writes the groups to a file.")
    def run_view_counts(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        limit = load_settings().disclosure_min_cell

        def ask() -> Answer:
            return count_by(
                serving.serving,
                config.view.value,
                config.by,
                where=config.filters(),
                age_bands=config.age_bands,
                age_at=config.age_day(),
                min_cell=MIN_CELL if limit is None else limit,
                options=config.read_options(),
            )

        run_question(context, config, ask)

    @dg.config_mapping
    def view_counts_config(config: model) -> dg.RunConfig:
        check_view_counts(config, by_name)
        return dg.RunConfig(ops={"run_view_counts": config})

    @dg.job(
        config=saying_why(view_counts_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description=describe_with_example(
            "Rows of one view counted by group; small counts are not shown. As a file.",
            view_counts_example(view_names(folder), folder.views),
        ),
    )
    def view_counts() -> None:
        run_view_counts()

    return view_counts
