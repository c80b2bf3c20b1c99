"""What changed since a mark: the rows that its snapshot had not seen.

The system column `xmin` names the transaction that wrote a row; every transaction below the `xmin` of a snapshot
was over when it was taken. So the rows it had not seen are among `age(xmin) <= age(mark.xmin)`: too many perhaps,
never too few, and without any clock. `res_updated` only narrows the scan of a large table (`updated_since`), and
whoever uses it must scan without it now and then.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.snapshot import SnapshotMark
from lambda_pipeline.source.tables import HapiTables, ResourceKey


@dataclass(frozen=True, slots=True)
class Change:
    """The current state of a row of HAPI's, or of a resource (`by_key`, `current_state`).

    Attributes:
        res_id: HAPI's primary key.
        key: its identity.
        version: what `hfj_resource` says is current.
        last_updated: HAPI's stamp; decides nothing.
        deleted: whether the current state is a delete; `hfj_resource` alone says so.
        fingerprint: equal for two reads of one row version with one set of tags, and for nothing else.
    """

    res_id: int
    key: ResourceKey
    version: int
    last_updated: datetime
    deleted: bool
    fingerprint: str


def changes_since(
    connection: Connection,
    tables: HapiTables,
    types: Collection[str],
    since: SnapshotMark,
    *,
    updated_since: datetime | None = None,
    version_rows: bool = True,
    res_ids: Sequence[int] | None = None,
) -> list[Change]:
    """Rows of these types that may have changed since the mark, oldest `res_id` first.

    Args:
        connection: in a snapshot no earlier than `since`.
        tables: HAPI's tables.
        types: resource types.
        since: everything that this mark saw is left out, as far as `xmin` can tell.
        updated_since: only rows stamped at this time or later (uses the index on `res_updated`).
        version_rows: ask version rows as well, for histories rewritten in place without touching the resource row.
        res_ids: only these resources, found by key rather than by a scan.
    """
    narrowed = sql.SQL("TRUE")
    if updated_since is not None:
        narrowed = sql.SQL("r.res_updated >= %(since_stamp)s AT TIME ZONE %(zone)s")
    among = sql.SQL("TRUE" if res_ids is None else "res_id = ANY (%(res_ids)s)")
    resources = tables.schema.table("hfj_resource")
    written = [sql.SQL(_RESOURCE_WRITTEN).format(resources=resources, narrowed=narrowed, among=among)]
    if updated_since is None:
        written.append(sql.SQL(_ROW_WRITTEN).format(table=tables.schema.table("hfj_res_tag"), among=among))
        if version_rows:
            written.append(sql.SQL(_ROW_WRITTEN).format(table=tables.schema.table("hfj_res_ver"), among=among))
    # An array, not a join: one scan finds the few, the primary key fetches them, whatever the statistics say.
    condition = sql.SQL("r.res_id = ANY (ARRAY({})) AND r.res_type = ANY (%(types)s)").format(
        sql.SQL(" UNION ").join(written)
    )
    parameters = {
        "types": sorted(types),
        "since": str(since.xmin),
        "since_stamp": updated_since,
        "res_ids": None if res_ids is None else list(res_ids),
    }
    return _changes(connection, tables, condition, parameters)


def current_state(connection: Connection, tables: HapiTables, keys: Collection[ResourceKey]) -> list[Change]:
    """The current state of these resources, one change a key, whenever they changed; expunged ones are missing.

    A database that was upgraded without HAPI's migrator may hold several rows of one logical id. The living one is the
    resource. Of several living ones none can be told to be it (`HapiTables.duplicates`); one stands for all.
    """
    condition = sql.SQL(
        "(r.res_type, {partition}, {id}) IN (SELECT * FROM unnest(%(key_types)s::text[], %(partitions)s::integer[],"
        " %(ids)s::text[]))"
    ).format(partition=tables.partition, id=tables.logical_id)
    ordered = sorted(keys)
    parameters = {
        "key_types": [key.type for key in ordered],
        "partitions": [key.partition for key in ordered],
        "ids": [key.id for key in ordered],
    }
    rows: dict[ResourceKey, list[Change]] = {}
    for row in _changes(connection, tables, condition, parameters):
        rows.setdefault(row.key, []).append(row)
    return [_of_one_key(of_key) for of_key in rows.values()]


def by_key(connection: Connection, tables: HapiTables, candidates: Sequence[Change]) -> list[Change]:
    """The current state of the resources that these rows belong to, one change a key.

    Where several rows may have one logical id, the others have a say in it as well, whether they changed or not.
    """
    if not tables.schema.unfilled_fhir_id or not candidates:
        return list(candidates)
    return current_state(connection, tables, {candidate.key for candidate in candidates})


def _of_one_key(rows: Sequence[Change]) -> Change:
    living = [row for row in rows if not row.deleted]
    return replace((living or rows)[0], fingerprint="|".join(row.fingerprint for row in rows))


def _changes(
    connection: Connection, tables: HapiTables, condition: sql.Composable, parameters: dict[str, Any]
) -> list[Change]:
    query = sql.SQL(_CHANGES).format(
        id=tables.logical_id,
        partition=tables.partition,
        forced_ids=tables.forced_id_join,
        resources=tables.schema.table("hfj_resource"),
        versions=tables.schema.table("hfj_res_ver"),
        tags=tables.schema.table("hfj_res_tag"),
        condition=condition,
    )
    return [_change(row) for row in connection.execute(query, {"zone": tables.timezone, **parameters})]


def _change(row: Sequence[Any]) -> Change:
    res_id, partition, resource_type, logical_id, version, last_updated, deleted, fingerprint = row
    return Change(
        res_id, ResourceKey(partition, resource_type, logical_id), version, last_updated, deleted, fingerprint
    )


_RESOURCE_WRITTEN = """SELECT r.res_id FROM {resources} r
         WHERE age(r.xmin) <= age(%(since)s::text::xid8::xid) AND r.res_type = ANY (%(types)s) AND {narrowed}
           AND {among}"""
_ROW_WRITTEN = "SELECT w.res_id FROM {table} w WHERE age(w.xmin) <= age(%(since)s::text::xid8::xid) AND {among}"

_CHANGES = """
SELECT r.res_id, {partition}, r.res_type::text, {id}, r.res_ver, r.res_updated AT TIME ZONE %(zone)s,
       r.res_deleted_at IS NOT NULL,
       concat_ws('.', r.xmin::text,
           (SELECT v.res_ver || ':' || v.xmin FROM {versions} v
             WHERE v.res_id = r.res_id AND v.res_ver <= r.res_ver ORDER BY v.res_ver DESC LIMIT 1),
           (SELECT md5(string_agg(t.tag_id::text, ',' ORDER BY t.tag_id)) FROM {tags} t WHERE t.res_id = r.res_id))
  FROM {resources} r
  {forced_ids}
 WHERE {condition}
 ORDER BY r.res_id"""
