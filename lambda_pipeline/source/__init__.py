"""HAPI's tables as one relation of resources, and what changed in them since a mark."""

from lambda_pipeline.source.changes import Change, by_key, changes_since, current_state
from lambda_pipeline.source.flatten import Flattened, flatten
from lambda_pipeline.source.schema import HapiSchema, read_schema
from lambda_pipeline.source.snapshot import SnapshotMark, marked_snapshot
from lambda_pipeline.source.tables import (
    EVERYTHING,
    HapiTables,
    ResourceKey,
    ResourceRange,
    ResourceRelation,
    Unreadable,
    open_tables,
)

__all__ = [
    "EVERYTHING",
    "Change",
    "Flattened",
    "HapiSchema",
    "HapiTables",
    "ResourceKey",
    "ResourceRange",
    "ResourceRelation",
    "SnapshotMark",
    "Unreadable",
    "by_key",
    "changes_since",
    "current_state",
    "flatten",
    "marked_snapshot",
    "open_tables",
    "read_schema",
]
