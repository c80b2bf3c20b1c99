"""Every living resource with the state it is in: what a nightly comparison of keys is made of.

An expunged resource leaves no trace, and a removed tag leaves no stamp and no new row. Comparing this inventory
with the one that a generation was made from finds both, without reading a single body.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.tables import HapiTables, ResourceRelation


def inventory(tables: HapiTables, types: Collection[str], res_ids: Sequence[int] | None = None) -> ResourceRelation:
    """A relation `resource_type, partition, id, res_id, fingerprint` of the living resources of these types.

    The fingerprint changes with every write to the resource's row and with its set of tags.

    Args:
        tables: HAPI's tables; resources that share a logical id are left out.
        types: resource types.
        res_ids: only these.
    """
    query = sql.SQL(_INVENTORY).format(
        id=tables.logical_id,
        partition=tables.partition,
        forced_ids=tables.forced_id_join,
        resources=tables.schema.table("hfj_resource"),
        tags=tables.schema.table("hfj_res_tag"),
        narrowed=sql.SQL("TRUE" if res_ids is None else "r.res_id = ANY (%(inventory_ids)s)"),
        tags_narrowed=sql.SQL("TRUE" if res_ids is None else "t.res_id = ANY (%(inventory_ids)s)"),
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
    """What a set of rows adds up to: cheap to take, and different when any of them is gone.

    Attributes:
        resources: number and exclusive-or of the hashed `res_id` of every resource row.
        tags: the same of every tag row.
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
        """Whether more happened than these creations: then something was taken away without a trace."""
        return now != self.with_created(created)

    def with_created(self, created: "Digest") -> "Digest":
        """What it is once these resources are there as well; their tags are not known."""
        return Digest((self.resources[0] + created.resources[0], self.resources[1] ^ created.resources[1]), self.tags)


def take_digest(
    connection: Connection,
    tables: HapiTables,
    types: Collection[str],
    tagged_types: Collection[str],
    res_ids: Sequence[int] | None = None,
) -> Digest:
    """The digest of all resource rows of these types, deleted ones too, or of some; and of tags of `tagged_types`."""
    query = sql.SQL(_DIGEST).format(
        resources=tables.schema.table("hfj_resource"),
        tags=tables.schema.table("hfj_res_tag"),
        narrowed=sql.SQL("TRUE" if res_ids is None else "r.res_id = ANY (%(res_ids)s)"),
        tagged=sql.SQL("t.res_type = ANY (%(tagged)s)" if tagged_types else "FALSE"),
    )
    parameters = {"types": sorted(types), "tagged": sorted(tagged_types), "res_ids": list(res_ids or ())}
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return Digest((row[0], row[1]), (row[2], row[3]))


_DIGEST = """
SELECT resource.*, tag.*
  FROM (SELECT count(*), coalesce(bit_xor(hashint8extended(r.res_id, 0)), 0)
          FROM {resources} r WHERE r.res_type = ANY (%(types)s) AND {narrowed}) AS resource,
       (SELECT count(*), coalesce(bit_xor(hashint8extended(t.res_id, t.tag_id)), 0)
          FROM {tags} t WHERE {tagged}) AS tag"""

_INVENTORY = """
SELECT r.res_type::text AS resource_type, {partition} AS partition, {id} AS id, r.res_id,
       concat_ws('.', r.xmin::text, tagged.digest) AS fingerprint
  FROM {resources} r
  {forced_ids}
  LEFT JOIN (SELECT t.res_id, md5(string_agg(t.tag_id::text, ',' ORDER BY t.tag_id)) AS digest
               FROM {tags} t WHERE {tags_narrowed} GROUP BY t.res_id) tagged ON tagged.res_id = r.res_id
 WHERE r.res_type = ANY (%(inventory_types)s) AND r.res_deleted_at IS NULL AND {narrowed}
   AND r.res_id <> ALL (%(inventory_duplicates)s)"""
