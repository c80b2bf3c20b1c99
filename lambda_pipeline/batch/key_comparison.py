"""The comparison of all keys: what a generation was made from, against what HAPI holds now."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.batch.generation import REPAIRS_NAMED, Repairs
from lambda_pipeline.database import Connection
from lambda_pipeline.source import HapiTables, ResourceKey
from lambda_pipeline.source.inventory import inventory


@dataclass(frozen=True, slots=True)
class ChangedResource:
    """A resource whose rows must be made anew: `res_id` is None when it is no longer there."""

    key: ResourceKey
    res_id: int | None


def compare_keys(connection: Connection, tables: HapiTables, types: Collection[str]) -> list[ChangedResource]:
    """Resources that the last generation knows in another state, does not know, or knows though they are gone.

    Reads no body. Finds what leaves no stamp: `$expunge`, `$meta-delete`; and proves the rest.
    """
    now = inventory(tables, types)
    query = sql.SQL(_COMPARISON).format(inventory=now.query)
    with _hash_joins(connection):
        rows = connection.execute(query, dict(now.parameters)).fetchall()
    return [
        ChangedResource(ResourceKey(partition, kind, logical_id), res_id)
        for kind, partition, logical_id, res_id in rows
    ]


def repairs_by_type(resources: Iterable[ChangedResource]) -> dict[str, Repairs]:
    """What a comparison found, counted; types in which it found nothing are left out."""
    by_type: dict[str, list[ChangedResource]] = {}
    for resource in sorted(resources, key=lambda each: each.key):
        by_type.setdefault(resource.key.type, []).append(resource)
    return {
        kind: Repairs(
            gone=sum(each.res_id is None for each in found),
            altered=sum(each.res_id is not None for each in found),
            resources=tuple(str(each.key) for each in found[:REPAIRS_NAMED]),
        )
        for kind, found in by_type.items()
    }


def replace_keys(connection: Connection, tables: HapiTables, types: Collection[str]) -> None:
    """Take down all living resources of these types."""
    now = inventory(tables, types)
    connection.execute(
        "DELETE FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(types)s)", {"types": sorted(types)}
    )
    with _hash_joins(connection):
        connection.execute(sql.SQL(_TAKE_DOWN).format(inventory=now.query), dict(now.parameters))


def update_keys(connection: Connection, tables: HapiTables, changed: Mapping[str, Sequence[ChangedResource]]) -> None:
    """Take down the changed resources only."""
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
    now = inventory(tables, changed.keys(), living)
    with _hash_joins(connection):
        connection.execute(sql.SQL(_TAKE_DOWN).format(inventory=now.query), dict(now.parameters))


@contextmanager
def _hash_joins(connection: Connection) -> Iterator[None]:
    """No nested loops: after a bulk load there are no statistics yet, and all keys against all keys is quadratic."""
    connection.execute("SET LOCAL enable_nestloop = off")
    yield
    connection.execute("SET LOCAL enable_nestloop = on")


_COMPARISON = """
SELECT coalesce(i.resource_type, k.resource_type), coalesce(i.partition, k.partition), coalesce(i.id, k.id), i.res_id
  FROM ({inventory}) i
  FULL JOIN (SELECT * FROM sqlonfhir.resource_key WHERE resource_type = ANY (%(inventory_types)s)) k
    ON k.resource_type = i.resource_type AND k.partition = i.partition AND k.id = i.id
 WHERE i.fingerprint IS DISTINCT FROM k.fingerprint"""

_TAKE_DOWN = """
INSERT INTO sqlonfhir.resource_key (resource_type, partition, id, res_id, fingerprint)
SELECT resource_type, partition, id, res_id, fingerprint FROM ({inventory}) i"""

_FORGET = """
DELETE FROM sqlonfhir.resource_key k
 USING unnest(%(types)s::text[], %(partitions)s::integer[], %(ids)s::text[]) AS c(resource_type, partition, id)
 WHERE k.resource_type = c.resource_type AND k.partition = c.partition AND k.id = c.id"""
