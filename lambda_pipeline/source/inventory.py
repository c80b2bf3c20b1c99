"""Every living resource with the state it is in: what a nightly comparison of keys is made of.

An expunged resource leaves no trace, and a removed tag leaves no stamp and no new row. Comparing this inventory
with the one that a generation was made from finds both, without reading a single body.
"""

from collections.abc import Collection, Sequence

from psycopg import sql

from lambda_pipeline.source.resources import HapiTables, Relation


def inventory(tables: HapiTables, types: Collection[str], res_ids: Sequence[int] | None = None) -> Relation:
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
    return Relation(
        query,
        {
            "inventory_types": sorted(types),
            "inventory_ids": list(res_ids or ()),
            "inventory_duplicates": sorted(tables.duplicates),
        },
    )


_INVENTORY = """
SELECT r.res_type::text AS resource_type, {partition} AS partition, {id} AS id, r.res_id,
       concat_ws('.', r.xmin::text, tagged.digest) AS fingerprint
  FROM {resources} r
  {forced_ids}
  LEFT JOIN (SELECT t.res_id, md5(string_agg(t.tag_id::text, ',' ORDER BY t.tag_id)) AS digest
               FROM {tags} t WHERE {tags_narrowed} GROUP BY t.res_id) tagged ON tagged.res_id = r.res_id
 WHERE r.res_type = ANY (%(inventory_types)s) AND r.res_deleted_at IS NULL AND {narrowed}
   AND r.res_id <> ALL (%(inventory_duplicates)s)"""
