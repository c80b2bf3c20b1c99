"""The nightly schedule of the refresh, which moves the changes of the day into the batch layer."""

import dagster as dg

from lambda_pipeline.orchestration.jobs import NIGHTLY_REFRESH
from lambda_pipeline.settings import Settings


def nightly_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """`nightly`: running by default; stopped in the UI, it stays stopped.

    A night that was missed since the daemon was down runs when it is back: Dagster records how far it looked, and makes
    up for the last time that has passed since, for a schedule without partitions. So no sensor has to ask for it.
    """
    return dg.ScheduleDefinition(
        name="nightly",
        job_name=NIGHTLY_REFRESH,
        cron_schedule=settings.nightly_cron,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
