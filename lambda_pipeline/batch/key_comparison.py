"""Comparison of all keys: the resources that a generation was made from, against those that HAPI holds now.

`sqlonfhir.resource_key` holds key and fingerprint of every living resource that the newest generation was made from. A
full join with the inventory of now gives every difference, including what leaves no row to ask (`$expunge`,
`$meta-delete`). The fingerprints themselves are made in `source/inventory.py`.

The argument: docs/guarantees.md, "Changes without a trace".
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.batch.generation import REPAIRS_NAMED, Repairs
from lambda_pipeline.database import Connection
from lambda_pipeline.source import HapiTables, ResourceKey, ResourceRelation
from lambda_pipeline.source.inventory import inventory


@dataclass(frozen=True, slots=True)
class ChangedResource:
    """A resource whose rows must be replaced; `res_id` is None when it no longer exists."""

    key: ResourceKey
    res_id: int | None


def compare_keys(connection: Connection, tables: HapiTables, types: Collection[str]) -> list[ChangedResource]:
    """Find the resources whose recorded fingerprint is not the current one, that were not recorded, or that are gone.

    Reads no body.
    """
    now = inventory(tables, types)
    query = sql.SQL(_COMPARISON).format(inventory=now.query)
    with _hash_joins(connection):
        rows = connection.execute(query, dict(now.parameters)).fetchall()
    return [
        ChangedResource(ResourceKey(partition, resource_type, logical_id), res_id)
        for resource_type, partition, logical_id, res_id in rows
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
    connection.execute(
        "DELETE FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(types)s)", {"types": sorted(types)}
    )
    _record(connection, inventory(tables, types))


def record_changed_keys(
    connection: Connection, tables: HapiTables, changed: Mapping[str, Sequence[ChangedResource]]
) -> None:
    """Record key and fingerprint of the changed resources, in place of what was recorded of them.

    Args:
        connection: in the refresh's transaction.
        tables: HAPI's tables.
        changed: the resources by resource type.
    """
    resources = [resource for of_type in changed.values() for resource in of_type]
    connection.execute(
        _FORGET,
        {
            "types": [resource.key.type for resource in resources],
            "partitions": [resource.key.partition for resource in resources],
            "ids": [resource.key.id for resource in resources],
        },
    )
    living = [resource.res_id for resource in resources if resource.res_id is not None]
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


_COMPARISON = """
SELECT coalesce(i.resource_type, k.resource_type), coalesce(i.partition, k.partition), coalesce(i.id, k.id), i.res_id
  FROM ({inventory}) i
  FULL JOIN (SELECT * FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(inventory_types)s)) k
    ON k.resource_type = i.resource_type AND k.partition = i.partition AND k.id = i.id
 WHERE i.fingerprint IS DISTINCT FROM k.fingerprint"""

_RECORD = """
INSERT INTO sqlonfhir.resource_key (resource_type, partition, id, res_id, fingerprint)
SELECT resource_type, partition, id, res_id, fingerprint FROM ({inventory}) i"""

_FORGET = """
DELETE FROM sqlonfhir.resource_key k
 USING unnest(%(types)s::text[], %(partitions)s::integer[], %(ids)s::text[]) AS c(resource_type, partition, id)
 WHERE k.resource_type = c.resource_type AND k.partition = c.partition AND k.id = c.id"""
