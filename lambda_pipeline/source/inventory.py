"""Inventory of the source: key and fingerprint of every living resource, and a digest of all rows.

An expunged resource leaves no row, and a removed tag leaves no timestamp and no new row: there is no `xmin` to ask.
Comparing this inventory with the one that a generation was made from (`batch/key_comparison.py`) finds both without
reading a body. Digests tell cheaply whether that comparison is needed: the one here from poll to poll, those of
`type_digests.py` from a generation to a later snapshot.

The argument: docs/guarantees.md, "Changes without a trace".
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.source.tables import HapiTables, ResourceRelation
from lambda_pipeline.source.type_digests import TAG_HASH


def inventory(tables: HapiTables, types: Collection[str], res_ids: Sequence[int] | None = None) -> ResourceRelation:
    """A relation `resource_type, partition, id, res_id, tags, fingerprint` of the living resources of these types.

    `tags` is the exclusive-or of the resource's hashed tag rows. The fingerprint changes with every write to the
    resource's row and with its set of tags.

    Args:
        tables: HAPI's tables; resources that share a logical id are left out.
        types: resource types.
        res_ids: only these; all when None.
    """
    query = tables.compose(
        _INVENTORY,
        tag_hash=TAG_HASH,
        condition=sql.SQL("TRUE" if res_ids is None else "r.res_id = ANY (%(inventory_ids)s::bigint[])"),
        tags_condition=sql.SQL("TRUE" if res_ids is None else "t.res_id = ANY (%(inventory_ids)s::bigint[])"),
    )
    return ResourceRelation(
        query,
        {
            "inventory_types": sorted(types),
            "inventory_ids": list(res_ids or ()),
            "inventory_duplicates": sorted(tables.duplicates),
        },
    )


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum of a set of rows: cheap to read, and another one when a row is missing.

    Attributes:
        resources: number of resource rows, and exclusive-or of their hashed `res_id`.
        tags: the same for tag rows.
    """

    resources: tuple[int, int]
    tags: tuple[int, int]

    def __str__(self) -> str:
        return ":".join(map(str, (*self.resources, *self.tags)))

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """The inverse of `str(digest)`."""
        count, mixed, tag_count, tag_mixed = map(int, text.split(":"))
        return cls((count, mixed), (tag_count, tag_mixed))

    def lacks_after(self, created: "Digest", now: "Digest") -> bool:
        """Whether `now` is not this digest plus the created resources: then rows were removed or tags changed."""
        return now != self.with_created(created)

    def with_created(self, created: "Digest") -> "Digest":
        """This digest plus the created resources; their tags are not counted."""
        return Digest((self.resources[0] + created.resources[0], self.resources[1] ^ created.resources[1]), self.tags)


def take_digest(
    connection: Connection,
    tables: HapiTables,
    types: Collection[str],
    tagged_types: Collection[str],
    res_ids: Sequence[int] | None = None,
) -> Digest:
    """Read the digest of all resource rows of these types, deleted ones included, and of the tags of `tagged_types`.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        types: resource types.
        tagged_types: types whose views read `meta`.
        res_ids: only these resource rows; all when None.
    """
    query = tables.compose(
        _DIGEST,
        condition=sql.SQL("TRUE" if res_ids is None else "r.res_id = ANY (%(res_ids)s::bigint[])"),
        tagged=sql.SQL("t.res_type = ANY (%(tagged)s)" if tagged_types else "FALSE"),
    )
    parameters = {"types": sorted(types), "tagged": sorted(tagged_types), "res_ids": list(res_ids or ())}
    count, mixed, tag_count, tag_mixed = fetch_one(connection, query, parameters)
    return Digest((count, mixed), (tag_count, tag_mixed))


_DIGEST = """
SELECT resource.*, tag.*
  FROM (SELECT count(*), coalesce(bit_xor(hashint8extended(r.res_id, 0)), 0)
          FROM {resources} r WHERE r.res_type = ANY (%(types)s) AND {condition}) AS resource,
       (SELECT count(*), coalesce(bit_xor(hashint8extended(t.res_id, t.tag_id)), 0)
          FROM {tags} t WHERE {tagged}) AS tag"""

_INVENTORY = """
SELECT r.res_type::text AS resource_type, {partition} AS partition, {id} AS id, r.res_id,
       coalesce(tagged.tags, 0) AS tags, concat_ws('.', r.xmin::text, tagged.tags::text) AS fingerprint
  FROM {resources} r
  {forced_ids}
  LEFT JOIN (SELECT t.res_id, bit_xor({tag_hash}) AS tags
               FROM {tags} t WHERE {tags_condition} GROUP BY t.res_id) tagged ON tagged.res_id = r.res_id
 WHERE r.res_type = ANY (%(inventory_types)s) AND r.res_deleted_at IS NULL AND {condition}
   AND r.res_id <> ALL (%(inventory_duplicates)s::bigint[])"""
