"""Schedules: the night, when the batch layer takes in the day."""

import dagster as dg

from lambda_pipeline.orchestration.jobs import NIGHTLY_REFRESH
from lambda_pipeline.settings import Settings


def nightly_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """`nightly`, running from the start; whoever stops it in the UI has stopped it for good."""
    return dg.ScheduleDefinition(
        name="nightly",
        job_name=NIGHTLY_REFRESH,
        cron_schedule=settings.nightly_cron,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
