"""Digests of the living resources of each type: do the changes that rows show explain what is there now?

A generation records the digest of each type. A later snapshot applies the changes that `xmin` shows to it and compares
the result with the digest of now. Only where they differ did something leave without a trace (`$expunge`,
`$meta-delete`), and only then all keys need to be compared (`batch/key_comparison.py`).

The argument: docs/guarantees.md, "Changes without a trace".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.tables import HapiTables

TAG_HASH = sql.SQL("hashint8extended(t.tag_id, t.res_id)")
"""A tag row's part of `TypeDigest.tags`, over the alias `t`."""


@dataclass(frozen=True, slots=True)
class TypeDigest:
    """Checksum of the living resources of one type, or of some of them.

    Attributes:
        resources: their number.
        keys: exclusive-or of their hashed keys.
        tags: exclusive-or of the hashed tag rows of the type, those of deleted resources included.
    """

    resources: int = 0
    keys: int = 0
    tags: int = 0

    def replace(self, before: "TypeDigest", after: "TypeDigest") -> "TypeDigest":
        """This digest once some resources, of digest `before`, are what `after` is the digest of."""
        return TypeDigest(
            self.resources - before.resources + after.resources,
            self.keys ^ before.keys ^ after.keys,
            self.tags ^ before.tags ^ after.tags,
        )


def key_hash(logical_id: sql.Composable, res_id: sql.Composable) -> sql.Composed:
    """A living resource's part of `TypeDigest.keys`, over SQL expressions."""
    return sql.SQL("hashtextextended({}, {})").format(logical_id, res_id)


def take_type_digests(
    connection: Connection, tables: HapiTables, types: Collection[str], res_ids: Sequence[int] | None = None
) -> dict[str, TypeDigest]:
    """Read the digest of each of these types.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        types: resource types.
        res_ids: only these resource rows; all when None.
    """
    conditions = {"r": sql.SQL("TRUE"), "t": sql.SQL("TRUE")}
    if res_ids is not None:
        conditions = {alias: sql.SQL(f"{alias}.res_id = ANY (%(res_ids)s::bigint[])") for alias in conditions}
    hashed = key_hash(tables.logical_id, sql.SQL("r.res_id"))
    resources = tables.compose(_RESOURCES, key_hash=hashed, condition=conditions["r"])
    tags = tables.compose(_TAGS, tag_hash=TAG_HASH, condition=conditions["t"])
    parameters: dict[str, Any] = {"types": sorted(types), "res_ids": list(res_ids or ())}
    counted: Mapping[str, tuple[int, int]] = {
        name: (count, keys) for name, count, keys in connection.execute(resources, parameters)
    }
    tagged: Mapping[str, int] = dict(connection.execute(tags, parameters).fetchall())
    return {name: TypeDigest(*counted.get(name, (0, 0)), tagged.get(name, 0)) for name in types}


_RESOURCES = """
SELECT r.res_type::text, count(*), coalesce(bit_xor({key_hash}), 0)
  FROM {resources} r
  {forced_ids}
 WHERE r.res_type = ANY (%(types)s) AND r.res_deleted_at IS NULL AND {condition}
 GROUP BY 1"""

_TAGS = """
SELECT t.res_type::text, bit_xor({tag_hash})
  FROM {tags} t WHERE t.res_type = ANY (%(types)s) AND {condition}
 GROUP BY 1"""
