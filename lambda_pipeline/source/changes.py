"""What changed since a mark: the rows that its snapshot did not see, and the current state of resources.

The system column `xmin` names the transaction that wrote a row. Every transaction below the `xmin` of a snapshot was
over when it was taken. So the rows that it did not see are among those with `age(xmin) <= age(mark.xmin)`. These may be
too many, which is harmless, but never too few; no clock is involved. `res_updated` only narrows the scan of a large
table (`updated_since`), and a caller that uses it must scan without it from time to time.

What leaves no row to ask (`$expunge`, `$meta-delete`) is found with `inventory.py`.
The argument: docs/guarantees.md, "A poll sees whole transactions", "Changes without a trace".
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import args_row

from lambda_pipeline.database import Connection
from lambda_pipeline.source.keys import ResourceKey
from lambda_pipeline.source.snapshot import SnapshotMark
from lambda_pipeline.source.tables import HapiTables


@dataclass(frozen=True, slots=True)
class Change:
    """The current state of one row of `hfj_resource`, or of one resource (`by_key`, `current_state`).

    Attributes:
        res_id: HAPI's primary key.
        key: its identity.
        version: the current version, according to `hfj_resource`.
        last_updated: HAPI's timestamp; it decides nothing.
        deleted: whether the current state is a delete, according to `hfj_resource`.
        fingerprint: equal for two reads of one row version with the same tags, and for nothing else.
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
    """Find the rows of these types that may have changed since the mark, by `res_id`.

    Args:
        connection: in a snapshot no earlier than `since`.
        tables: HAPI's tables.
        types: resource types.
        since: rows that this mark saw are left out where `xmin` shows it.
        updated_since: only rows whose HAPI timestamp is at or after this time (uses the index on `res_updated`).
        version_rows: also scan version rows, whose bodies HAPI may rewrite without a write to the resource row.
        res_ids: only these resources, looked up by key instead of a scan.
    """
    narrowed = sql.SQL("TRUE")
    if updated_since is not None:
        narrowed = sql.SQL(_UPDATED_SINCE)
    among = sql.SQL("TRUE" if res_ids is None else "res_id = ANY (%(res_ids)s::bigint[])")
    resources = tables.schema.table("hfj_resource")
    written = [sql.SQL(_RESOURCE_WRITTEN).format(resources=resources, narrowed=narrowed, among=among)]
    if updated_since is None:
        written.append(sql.SQL(_ROW_WRITTEN).format(table=tables.schema.table("hfj_res_tag"), among=among))
        if version_rows:
            written.append(sql.SQL(_ROW_WRITTEN).format(table=tables.schema.table("hfj_res_ver"), among=among))
    # An array instead of a join: one scan finds the few rows and the primary key fetches them, even where statistics
    # are wrong, as they are after a bulk load.
    condition = sql.SQL("r.res_id = ANY (ARRAY({})) AND r.res_type = ANY (%(types)s)").format(
        sql.SQL(" UNION ").join(written)
    )
    parameters = {
        "types": sorted(types),
        "since": str(since.xmin),
        "updated_since": updated_since,
        "res_ids": None if res_ids is None else list(res_ids),
    }
    return _changes(connection, tables, condition, parameters)


def current_state(connection: Connection, tables: HapiTables, keys: Collection[ResourceKey]) -> list[Change]:
    """Read the current state of these resources, one change per key; expunged ones are missing.

    A database that was upgraded without HAPI's migrator may hold several rows of one logical id. The living row is the
    resource. If several are living, none can be shown to be it (`HapiTables.duplicates`); one of them is returned.
    """
    condition = tables.compose(
        "(r.res_type, {partition}, {id}) IN (SELECT * FROM unnest(%(key_types)s::text[], %(partitions)s::integer[],"
        " %(ids)s::text[]))"
    )
    ordered = sorted(keys)
    parameters = {
        "key_types": [key.type for key in ordered],
        "partitions": [key.partition for key in ordered],
        "ids": [key.id for key in ordered],
    }
    found: dict[ResourceKey, list[Change]] = {}
    for row in _changes(connection, tables, condition, parameters):
        found.setdefault(row.key, []).append(row)
    return [_merge_rows(rows) for rows in found.values()]


def by_key(connection: Connection, tables: HapiTables, candidates: Sequence[Change]) -> list[Change]:
    """Read the current state of the resources that these rows belong to, one change per key.

    Where several rows may have one logical id, the rows that did not change count too.
    """
    if not tables.schema.unfilled_fhir_id or not candidates:
        return list(candidates)
    return current_state(connection, tables, {candidate.key for candidate in candidates})


def _merge_rows(rows: Sequence[Change]) -> Change:
    living = [row for row in rows if not row.deleted]
    return replace((living or rows)[0], fingerprint="|".join(row.fingerprint for row in rows))


def _changes(
    connection: Connection, tables: HapiTables, condition: sql.Composable, parameters: dict[str, Any]
) -> list[Change]:
    query = tables.compose(_CHANGES, condition=condition)
    cursor = connection.cursor(row_factory=args_row(_change))
    return cursor.execute(query, {"zone": tables.timezone, **parameters}).fetchall()


def _change(
    res_id: int,
    partition: int,
    resource_type: str,
    logical_id: str,
    version: int,
    last_updated: datetime,
    deleted: bool,  # noqa: FBT001 (called by psycopg, by position)
    fingerprint: str,
) -> Change:
    key = ResourceKey(partition, resource_type, logical_id)
    return Change(res_id, key, version, last_updated, deleted, fingerprint)


# When summer time ends, local time goes back: what is written after that has a local time before that of the bound. So
# the bound is also counted back from the local time of now, and of a minute later, should it end during the statement.
_UPDATED_SINCE = """r.res_updated >= least(
            %(updated_since)s AT TIME ZONE %(zone)s,
            now() AT TIME ZONE %(zone)s - (now() - %(updated_since)s),
            (now() + interval '1 minute') AT TIME ZONE %(zone)s - (now() + interval '1 minute' - %(updated_since)s))"""

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
