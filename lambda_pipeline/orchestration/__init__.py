"""Everything of Dagster: names, wiring and metadata.

Assets, checks, jobs, schedules, sensors, resources and the validation of launchpad config belong here. Logic does not:
each of these calls the core (`batch`, `speed`, `serving`) or `operations`, which import no Dagster.
"""
