"""The serving layer: batch and speed merged, for any question, with the moment the answer is valid for."""

from lambda_pipeline.serving.answer import Answer, Counts, Mode, QuarantinedResource
from lambda_pipeline.serving.changes import Changes
from lambda_pipeline.serving.filters import Filter, Operator, parse_filter
from lambda_pipeline.serving.options import ReadOptions
from lambda_pipeline.serving.resource import Resource
from lambda_pipeline.serving.service import Composition, Serving

__all__ = [
    "Answer",
    "Changes",
    "Composition",
    "Counts",
    "Filter",
    "Mode",
    "Operator",
    "QuarantinedResource",
    "ReadOptions",
    "Resource",
    "Serving",
    "parse_filter",
]
