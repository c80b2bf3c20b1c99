"""One resource by its type and id: the partitions that have it, and its body."""

from typing import Any

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.bodies import Unreadable
from lambda_pipeline.source.changes import Change
from lambda_pipeline.source.flatten import flatten
from lambda_pipeline.source.keys import ResourceKey, ResourceRange
from lambda_pipeline.source.tables import HapiTables, ResourceRelation


def keys_of_id(connection: Connection, tables: HapiTables, resource_type: str, logical_id: str) -> list[ResourceKey]:
    """The resources of a type and id, deleted ones included: one for each partition, in order."""
    rows = connection.execute(tables.compose(_PARTITIONS), {"type": resource_type, "id": logical_id})
    return [ResourceKey(partition, resource_type, logical_id) for (partition,) in rows]


def read_one(connection: Connection, tables: HapiTables, change: Change) -> str | Unreadable:
    """The body of a living resource, as HAPI's REST interface gives it: JSON, with `id` and `meta`.

    Args:
        connection: in the snapshot that showed the change.
        tables: HAPI's tables.
        change: its current state.
    """
    bodies: list[str] = []

    def keep(relation: ResourceRelation) -> int:
        statement = sql.SQL("SELECT body::text FROM ({}\n) AS one").format(relation.query)
        found: list[tuple[Any, ...]] = connection.execute(statement, dict(relation.parameters)).fetchall()
        bodies.extend(text for (text,) in found)
        return len(found)

    scope = ResourceRange(res_ids=(change.res_id,))
    unreadable = flatten(connection, tables, change.key.type, scope, keep, complete=True).unreadable
    return unreadable[0] if unreadable else bodies[0]


_PARTITIONS = """
SELECT DISTINCT {partition} FROM {resources} r {forced_ids}
 WHERE r.res_type = %(type)s AND {id} = %(id)s
 ORDER BY 1"""
