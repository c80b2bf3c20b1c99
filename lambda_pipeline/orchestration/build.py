"""Assemble all Dagster definitions of one deployment from settings and view definitions, without asking a server."""

import dagster as dg

from lambda_pipeline.orchestration.assets import parity_checks, pipeline_assets
from lambda_pipeline.orchestration.jobs import nightly_refresh, parity_check_job, query_jobs
from lambda_pipeline.orchestration.resources import DeploymentResource, ServingResource, deployed_views
from lambda_pipeline.orchestration.schedules import nightly_schedule
from lambda_pipeline.orchestration.sensors import capture_sensor
from lambda_pipeline.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of one deployment.

    Raises:
        ViewDefinitionError: a view definition is malformed or not supported; lists every problem.
        ConfigurationError: there is no view definition.
    """
    views = deployed_views(settings.view_definitions)
    return dg.Definitions(
        assets=pipeline_assets(views, settings),
        asset_checks=[parity_checks(views, settings)] if settings.parity_sample else [],
        jobs=[nightly_refresh(views, settings), parity_check_job(settings), *query_jobs(views)],
        schedules=[nightly_schedule(settings)],
        sensors=[capture_sensor(settings)] if settings.speed_layer else [],
        resources={"deployment": DeploymentResource(), "serving": ServingResource()},
        # A process per step would cost seconds each, and parallel work happens inside PostgreSQL.
        executor=dg.in_process_executor,
    )
