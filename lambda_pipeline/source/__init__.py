"""HAPI's tables as one relation of resources, and what changed in them since a mark."""

from lambda_pipeline.source.changes import Change, by_key, changes_since, current_state
from lambda_pipeline.source.flatten import Flattened, flatten
from lambda_pipeline.source.mark import Mark, marked_snapshot
from lambda_pipeline.source.resources import (
    EVERYTHING,
    HapiTables,
    Relation,
    ResourceKey,
    Scope,
    Unreadable,
    open_tables,
)
from lambda_pipeline.source.schema import HapiSchema, probe

__all__ = [
    "EVERYTHING",
    "Change",
    "Flattened",
    "HapiSchema",
    "HapiTables",
    "Mark",
    "Relation",
    "ResourceKey",
    "Scope",
    "Unreadable",
    "by_key",
    "changes_since",
    "current_state",
    "flatten",
    "marked_snapshot",
    "open_tables",
    "probe",
]
