"""The job `view_counts`: rows of one view counted by group. The groups are a file; the run holds no value of them."""

from typing import Any

import dagster as dg

from lambda_pipeline.cohorts import count_by
from lambda_pipeline.cohorts.disclosure import limit_of_jobs
from lambda_pipeline.orchestration.assets import view_names
from lambda_pipeline.orchestration.examples import describe_with_example, view_counts_example
from lambda_pipeline.orchestration.launch_config import ViewCounts, check_view_counts, over_views
from lambda_pipeline.orchestration.question_job import leaving_a_file, question_job
from lambda_pipeline.serving import Answer, Serving
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import ViewFolder


def view_counts_job(folder: ViewFolder) -> dg.JobDefinition:
    """Counts of one view by group."""
    by_name = {view.name: view for view in folder.views}

    def ask(serving: Serving, config: Any) -> Answer:
        return count_by(
            serving,
            config.view.value,
            config.by,
            where=config.filters(),
            age_bands=config.age_bands,
            age_at=config.age_day(),
            min_cell=limit_of_jobs(load_settings()),
            options=config.read_options(),
        )

    return question_job(
        "view_counts",
        over_views(ViewCounts, view_names(folder), folder.views),
        does="Counts the rows of one merged view by group, and writes the groups to a file.",
        description=describe_with_example(
            "Rows of one view counted by group; small counts are not shown. As a file.",
            view_counts_example(view_names(folder), folder.views),
        ),
        check=lambda config: check_view_counts(config, by_name),
        run=leaving_a_file(ask),
    )
