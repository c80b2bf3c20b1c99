"""The source: HAPI's tables as one relation of resources, snapshots of them, and what changed since a snapshot.

It knows HAPI's tables and nothing of views, generations or the overlay. Start with `tables.py` (the seam) and
`snapshot.py` (the order of snapshots).
"""

from lambda_pipeline.source.bodies import Unreadable
from lambda_pipeline.source.changes import Change, by_key, changes_since, current_state
from lambda_pipeline.source.flatten import Flattened, flatten
from lambda_pipeline.source.identity import HapiSource
from lambda_pipeline.source.keys import NO_PARTITION, ResourceKey, ResourceRange
from lambda_pipeline.source.schema import HapiSchema, read_schema
from lambda_pipeline.source.snapshot import SnapshotMark, marked_snapshot
from lambda_pipeline.source.tables import HapiTables, ResourceRelation, open_tables

__all__ = [
    "NO_PARTITION",
    "Change",
    "Flattened",
    "HapiSchema",
    "HapiSource",
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
