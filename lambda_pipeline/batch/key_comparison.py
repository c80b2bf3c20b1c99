"""The resources that a generation was made from, against those that HAPI holds now.

`sqlonfhir.resource_key` holds key and fingerprint of every living resource that the newest generation was made from. A
full join with the inventory of now gives every difference, including what leaves no row to ask (`$expunge`,
`$meta-delete`). It costs a look at every key, so it is made only for the types whose digest the known changes do not
explain. Fingerprints are made in `source/inventory.py`, digests in `source/type_digests.py`.

The argument: docs/guarantees.md, "Changes without a trace".
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.batch.generation import REPAIRS_NAMED, Repairs
from lambda_pipeline.database import Connection
from lambda_pipeline.source import Change, HapiTables, ResourceKey, ResourceRelation
from lambda_pipeline.source.inventory import inventory
from lambda_pipeline.source.type_digests import TypeDigest, key_hash, take_type_digests


@dataclass(frozen=True, slots=True)
class ChangedResource:
    """A resource whose rows must be replaced.

    Attributes:
        key: its identity.
        res_id: HAPI's primary key; None when it no longer exists.
        recorded: primary key under which it is recorded; None when it is not, or where that is not known.
    """

    key: ResourceKey
    res_id: int | None
    recorded: int | None = None


def find_differences(
    connection: Connection,
    tables: HapiTables,
    recorded: Mapping[str, TypeDigest],
    changes: Sequence[Change],
    now: Mapping[str, TypeDigest],
) -> list[ChangedResource]:
    """Find the resources that differ from the recorded ones, in types where the changes do not explain the digest.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        recorded: digests of the generation whose keys are recorded, for the types that it has.
        changes: everything that rows show to have changed since that generation, in these types.
        now: digests in the snapshot; those of the types to look at.

    Returns:
        What `compare_keys` finds in those types: some of the changes may be among it.
    """
    # Which of several rows with one logical id is the resource is not decided by the row alone.
    if tables.schema.unfilled_fhir_id:
        return compare_keys(connection, tables, now.keys())
    explained = _with_changes(connection, tables, recorded, changes)
    unexplained = {name for name, digest in now.items() if digest != explained.get(name)}
    return compare_keys(connection, tables, unexplained) if unexplained else []


def _with_changes(
    connection: Connection, tables: HapiTables, recorded: Mapping[str, TypeDigest], changes: Sequence[Change]
) -> Mapping[str, TypeDigest]:
    """The digests that the recorded ones become by these changes."""
    types = {change.key.type for change in changes} & recorded.keys()
    if not types:
        return recorded
    res_ids = [change.res_id for change in changes]
    hashed = key_hash(sql.SQL("k.id"), sql.SQL("k.res_id"))
    rows = connection.execute(sql.SQL(_RECORDED_PART).format(key_hash=hashed), {"res_ids": res_ids})
    before = {name: TypeDigest(count, keys, tags) for name, count, keys, tags in rows}
    after = take_type_digests(connection, tables, types, res_ids)
    none = TypeDigest()
    return {name: digest.replace(before.get(name, none), after.get(name, none)) for name, digest in recorded.items()}


def compare_keys(connection: Connection, tables: HapiTables, types: Collection[str]) -> list[ChangedResource]:
    """Find the resources whose recorded fingerprint is not the current one, that were not recorded, or that are gone.

    Reads no body.
    """
    now = inventory(tables, types)
    query = sql.SQL(_COMPARISON).format(inventory=now.query)
    with _hash_joins(connection):
        rows = connection.execute(query, dict(now.parameters)).fetchall()
    return [
        ChangedResource(ResourceKey(partition, resource_type, logical_id), res_id, recorded)
        for resource_type, partition, logical_id, res_id, recorded in rows
    ]


def repairs_by_type(resources: Iterable[ChangedResource]) -> dict[str, Repairs]:
    """Count what a comparison found by resource type; types without differences are left out."""
    by_type: dict[str, list[ChangedResource]] = {}
    for resource in sorted(resources, key=lambda each: each.key):
        by_type.setdefault(resource.key.type, []).append(resource)
    return {
        resource_type: Repairs(
            gone=sum(each.res_id is None for each in found),
            altered=sum(each.res_id is not None for each in found),
            resources=tuple(str(each.key) for each in found[:REPAIRS_NAMED]),
        )
        for resource_type, found in by_type.items()
    }


def record_keys(connection: Connection, tables: HapiTables, types: Collection[str]) -> None:
    """Record key and fingerprint of every living resource of these types, in place of what was recorded."""
    if not types:
        return
    connection.execute(
        "DELETE FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(types)s)", {"types": sorted(types)}
    )
    _record(connection, inventory(tables, types))


def record_changed_keys(
    connection: Connection,
    tables: HapiTables,
    changed: Mapping[str, Sequence[ChangedResource]],
    forgotten: Collection[int],
) -> None:
    """Record key and fingerprint of the changed resources, in place of what was recorded of them.

    Args:
        connection: in the refresh's transaction.
        tables: HAPI's tables.
        changed: the resources by resource type.
        forgotten: primary keys under which they may be recorded.
    """
    connection.execute(_FORGET, {"res_ids": list(forgotten)})
    living = [each.res_id for of_type in changed.values() for each in of_type if each.res_id is not None]
    _record(connection, inventory(tables, changed.keys(), living))


def _record(connection: Connection, living: ResourceRelation) -> None:
    with _hash_joins(connection):
        connection.execute(sql.SQL(_RECORD).format(inventory=living.query), dict(living.parameters))


@contextmanager
def _hash_joins(connection: Connection) -> Iterator[None]:
    # After a bulk load there are no statistics yet, and a nested loop over all keys takes quadratic time.
    connection.execute("SET LOCAL enable_nestloop = off")
    yield
    connection.execute("SET LOCAL enable_nestloop = on")


# A row of HAPI's whose logical id changed is two differences: the old resource is gone, and the new one is there.
_COMPARISON = """
SELECT d.resource_type, d.partition, d.id, d.res_id, d.recorded
  FROM ({inventory}) i
  FULL JOIN (SELECT * FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(inventory_types)s)) k
    ON k.res_id = i.res_id
 CROSS JOIN LATERAL (
       VALUES (k.resource_type, k.partition, k.id, NULL::bigint, k.res_id,
               (k.partition, k.id) IS DISTINCT FROM (i.partition, i.id)),
              (i.resource_type, i.partition, i.id, i.res_id, k.res_id, TRUE))
       AS d(resource_type, partition, id, res_id, recorded, differs)
 WHERE (i.partition, i.id, i.fingerprint) IS DISTINCT FROM (k.partition, k.id, k.fingerprint)
   AND d.differs AND d.id IS NOT NULL"""

_RECORD = """
INSERT INTO sqlonfhir.resource_key (resource_type, partition, id, res_id, tags, fingerprint)
SELECT resource_type, partition, id, res_id, tags, fingerprint FROM ({inventory}) i"""

_FORGET = "DELETE FROM sqlonfhir.resource_key WHERE res_id = ANY (%(res_ids)s::bigint[])"

_RECORDED_PART = """
SELECT k.resource_type, count(*), bit_xor({key_hash}), bit_xor(k.tags)
  FROM sqlonfhir.resource_key k WHERE k.res_id = ANY (%(res_ids)s::bigint[])
 GROUP BY 1"""
