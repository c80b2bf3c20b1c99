"""Which columns of a view say whose a row is and when it was: as a definition names them, or of the shipped views."""

from collections.abc import Mapping

from lambda_pipeline.cohorts.definition import Events
from lambda_pipeline.views.view import View

Views = Mapping[str, View]

PERSON_COLUMN = "patient_id"
"""The column that every shipped view has for the person."""

DATE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "condition_diagnoses": ("onset_date_time", "onset_start", "recorded_date"),
    "condition_simple": ("onset_date_time", "onset_start", "recorded_date"),
    "medication_requests": ("authored_on",),
    "observation_labs": ("effective_date_time", "effective_start"),
    "procedure_history": ("performed_date_time", "performed_start"),
}
"""The columns with the date of shipped views, first the one that is preferred."""


def person_column(events: Events) -> str:
    """The name of the column with the person's id."""
    return events.person or PERSON_COLUMN


def date_columns(events: Events) -> tuple[str, ...]:
    """The names of the columns with the date; none for a view without a date."""
    if events.date is None:
        return DATE_COLUMNS.get(events.view, ())
    return (events.date,) if isinstance(events.date, str) else events.date
