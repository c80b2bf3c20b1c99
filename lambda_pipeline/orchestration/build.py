"""Assemble all Dagster definitions of one deployment from settings and view definitions, without asking a server."""

import dagster as dg

from lambda_pipeline.orchestration.assets import parity_checks, pipeline_assets, view_names
from lambda_pipeline.orchestration.cohort_job import cohort_query_job
from lambda_pipeline.orchestration.counts_job import view_counts_job
from lambda_pipeline.orchestration.jobs import nightly_refresh, parity_check_job, query_jobs
from lambda_pipeline.orchestration.notifications import notification_sensors
from lambda_pipeline.orchestration.report_asset import operations_report
from lambda_pipeline.orchestration.resources import DeploymentResource, ServingResource, deployed_views
from lambda_pipeline.orchestration.schedules import nightly_schedule
from lambda_pipeline.orchestration.sensors import capture_sensor
from lambda_pipeline.queries import read_queries
from lambda_pipeline.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of one deployment.

    A file that does not compile keeps its assets, whose check `definition` says what is wrong with it.

    Raises:
        ConfigurationError: there is no view definition, or no folder of saved queries.
    """
    folder = deployed_views(settings.view_definitions)
    names = view_names(folder)
    return dg.Definitions(
        assets=[*pipeline_assets(folder, settings), operations_report(names)],
        asset_checks=[parity_checks(name, settings) for name in names] if settings.parity_sample else [],
        jobs=[
            nightly_refresh(names, settings),
            parity_check_job(settings),
            *query_jobs(folder, read_queries(settings.queries)),
            view_counts_job(folder),
            cohort_query_job(),
        ],
        schedules=[nightly_schedule(settings)],
        sensors=[*([capture_sensor(settings)] if settings.speed_layer else []), *notification_sensors(settings)],
        resources={"deployment": DeploymentResource(), "serving": ServingResource()},
        # A process per step would cost seconds each, and parallel work happens inside PostgreSQL.
        executor=dg.in_process_executor,
    )
