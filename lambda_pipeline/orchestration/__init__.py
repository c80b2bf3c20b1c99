"""Everything of Dagster: names, wiring and metadata.

Here belong assets, checks, jobs, schedules, sensors and resources, and the validation of launchpad config. Logic does
not: each of these calls the core (`batch`, `speed`, `serving`) or `operations`, which import no Dagster.
"""
