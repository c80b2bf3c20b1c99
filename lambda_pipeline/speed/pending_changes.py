"""What is to be captured: changes that left a trace, and those that left none.

`xmin` tells which rows were written. An expunged resource and a removed tag are no longer there to tell: a digest over
all rows says whether something is missing, and then a comparison of keys says what.
"""

from collections.abc import Collection, Mapping

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.key_comparison import compare_keys
from lambda_pipeline.database import Connection
from lambda_pipeline.source import Change, HapiTables, ResourceKey, SnapshotMark, by_key, changes_since, current_state

GONE = "gone"
"""Fingerprint of a resource that is not there any more."""


def changes_since_generation(
    connection: Connection, tables: HapiTables, generation: Generation, mark: SnapshotMark, types: Collection[str]
) -> list[Change]:
    """Everything that a generation must be corrected for, to be true in this snapshot.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        generation: the published one.
        mark: of the snapshot.
        types: resource types.
    """
    changes = by_key(connection, tables, changes_since(connection, tables, types, generation.mark))
    known = {change.key for change in changes}
    # A generation knows the keys of its own types only; resources of others have no rows to be corrected.
    differing = compare_keys(connection, tables, set(types) & generation.types)
    untracked = {resource.key for resource in differing} - known
    return [*changes, *states(connection, tables, untracked, mark)]


def states(
    connection: Connection, tables: HapiTables, keys: Collection[ResourceKey], mark: SnapshotMark
) -> list[Change]:
    """The current state of each of these resources; those that are gone count as deleted."""
    if not keys:
        return []
    found = current_state(connection, tables, keys)
    missing = sorted(set(keys) - {change.key for change in found})
    return [*found, *(Change(0, key, 0, mark.taken_at, deleted=True, fingerprint=GONE) for key in missing)]


def untracked_changes(
    connection: Connection,
    tables: HapiTables,
    generation: Generation,
    mark: SnapshotMark,
    held: Mapping[ResourceKey, str],
    *,
    relabel: bool,
) -> list[Change]:
    """What differs from the overlay, or from the generation where the overlay has nothing, by comparing all keys.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        generation: the published one.
        mark: of the snapshot.
        held: fingerprints of all overlay entries.
        relabel: give what differs from the generation even where the overlay holds it as it is: the entry may be from
            before the generation, which then saw the resource in a state in between that left no trace.
    """
    differing = {resource.key for resource in compare_keys(connection, tables, generation.types)}
    now = states(connection, tables, differing | held.keys(), mark)
    return [
        change for change in now if held.get(change.key) != change.fingerprint or (relabel and change.key in differing)
    ]
