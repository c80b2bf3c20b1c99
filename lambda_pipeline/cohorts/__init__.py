"""Cohorts: definitions of who is counted, their checks, their SQL, and their answers."""

from lambda_pipeline.cohorts.answer import CohortAnswer
from lambda_pipeline.cohorts.counts import Cell, LeftOut, Step
from lambda_pipeline.cohorts.definition import Cohort
from lambda_pipeline.cohorts.document import parse_cohort, read_cohort
from lambda_pipeline.cohorts.group_counts import GroupCounts, count_by
from lambda_pipeline.cohorts.run import AnyCohort, as_cohort, ask, check, show

__all__ = [
    "AnyCohort",
    "Cell",
    "Cohort",
    "CohortAnswer",
    "GroupCounts",
    "LeftOut",
    "Step",
    "as_cohort",
    "ask",
    "check",
    "count_by",
    "parse_cohort",
    "read_cohort",
    "show",
]
