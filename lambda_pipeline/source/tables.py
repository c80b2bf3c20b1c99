"""HAPI's tables as one relation of resources: the seam that every view is compiled over.

`HapiTables.stored` is the bulk path: bodies that are JSON text, joined by key and version. What that join cannot read
(a body in a large object, a missing version row, an unknown encoding) is an exception: `exceptions` reads those one by
one; `given` is the relation over those that could be read, and the others are named. So every living resource is in
exactly one of the three.

Not here: which tables and columns exist (`schema.py`), the text of bodies (`bodies.py`), what changed (`changes.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.bodies import Body, Unreadable, UnreadableBodyError, as_jsonb, read_body
from lambda_pipeline.source.identity import HapiSource
from lambda_pipeline.source.keys import NO_PARTITION, Member, ResourceKey, ResourceRange
from lambda_pipeline.source.schema import HapiSchema, read_schema


@dataclass(frozen=True, slots=True)
class ResourceRelation:
    """A query that gives resources, for the FROM clause of a view: see `View.select`."""

    query: sql.Composable
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HapiTables:
    """The relation of resources over one HAPI database, as one snapshot shows it.

    Attributes:
        schema: names and columns of HAPI's tables.
        timezone: zone of HAPI's JVM, in which `res_updated` is stored without a zone.
        duplicates: `res_id` of living rows that share their logical id with another living row. A database upgraded
            without HAPI's migrator may have such rows. Neither can be shown to be the resource, so both are reported
            and left out.
    """

    schema: HapiSchema
    timezone: str
    duplicates: frozenset[int] = field(default_factory=frozenset)

    def compose(self, template: str, **more: sql.Composable) -> sql.Composed:
        """Fill a SQL template over HAPI's tables.

        Args:
            template: may name {resources}, {versions}, {tags} (tables), and {partition}, {id} (expressions over the
                alias `r` of resources; {id} needs {forced_ids}, a join, in the FROM clause).
            more: fragments for other names.
        """
        return sql.SQL(template).format(
            resources=self.schema.table("hfj_resource"),
            versions=self.schema.table("hfj_res_ver"),
            tags=self.schema.table("hfj_res_tag"),
            partition=self.partition,
            id=self.logical_id,
            forced_ids=self.forced_id_join,
            **more,
        )

    def members(self, connection: Connection, resource_type: str, resources: ResourceRange) -> list[Member]:
        """Living resources of a type, by `res_id`."""
        query = self.compose(_MEMBERS, condition=resources.condition("r"))
        rows = connection.execute(query, {"resource_type": resource_type, **resources.parameters})
        return [
            Member(res_id, ResourceKey(partition, resource_type, logical_id), version)
            for res_id, partition, logical_id, version in rows
        ]

    def chunks(self, connection: Connection, resource_type: str, size: int) -> list[tuple[ResourceRange, int]]:
        """Ranges of `res_id` that hold `size` living resources of the type each, with the number in each."""
        rows = connection.execute(self.compose(_CHUNKS), {"resource_type": resource_type, "size": size})
        return [(ResourceRange(low=low, high=high), count) for low, high, count in rows]

    def deduplicated(self, connection: Connection, types: Collection[str]) -> "HapiTables":
        """The same tables with `duplicates` of these types. Costs nothing where HAPI keeps logical ids unique."""
        if not self.schema.unfilled_fhir_id:
            return self
        rows = connection.execute(self.compose(_DUPLICATES), {"types": sorted(types)})
        return replace(self, duplicates=frozenset(res_id for (ids,) in rows for res_id in ids))

    def stored(self, resource_type: str, resources: ResourceRange, *, complete: bool) -> ResourceRelation:
        """Living resources of a type whose body is JSON text; with `complete`, bodies get `id` and `meta`."""
        query = self.compose(
            _STORED,
            body=as_jsonb(sql.SQL("v.res_text_vc")),
            meta_source=self._meta_source("v"),
            resource_condition=resources.condition("r"),
            version_condition=resources.condition("v"),
        )
        parameters = {"resource_type": resource_type, "duplicates": sorted(self.duplicates), **resources.parameters}
        return self._relation(query, parameters, complete=complete)

    def given(self, resource_type: str, bodies: Sequence[Body], *, complete: bool) -> ResourceRelation:
        """The same relation over bodies that were already read."""
        query = sql.SQL(_GIVEN).format(body=as_jsonb(sql.SQL("g.text")))
        parameters = {
            "resource_type": resource_type,
            "given_res_ids": [body.res_id for body in bodies],
            "given_partitions": [body.key.partition for body in bodies],
            "given_ids": [body.key.id for body in bodies],
            "given_versions": [body.version for body in bodies],
            "given_updated": [body.last_updated for body in bodies],
            "given_sources": [body.meta_source for body in bodies],
            "given_texts": [body.text for body in bodies],
        }
        return self._relation(query, parameters, complete=complete)

    def exceptions(
        self, connection: Connection, resource_type: str, resources: ResourceRange
    ) -> tuple[list[Body], list[Unreadable]]:
        """Read one by one what `stored` leaves out: the bodies that can be read, and the rest with the reason.

        Where the current version has no row, HAPI itself reads the newest lower version; so does this.
        """
        query = self.compose(
            _EXCEPTIONS,
            resource_condition=resources.condition("r"),
            version_condition=resources.condition("v"),
            meta_source=self._meta_source("w"),
            large_object=sql.SQL(
                "w.res_text::bigint" if self.schema.has("hfj_res_ver", "res_text") else "NULL::bigint"
            ),
        )
        parameters = {"duplicates": sorted(self.duplicates), "zone": self.timezone, **resources.parameters}
        rows = connection.execute(query, {"resource_type": resource_type, **parameters}).fetchall()
        bodies: list[Body] = []
        unreadable: list[Unreadable] = []
        for res_id, partition, logical_id, current, updated, version, encoding, text, large_object, meta_source in rows:
            key = ResourceKey(partition, resource_type, logical_id)
            if res_id in self.duplicates:
                unreadable.append(Unreadable(res_id, key, current, "", _DUPLICATE))
                continue
            try:
                body = read_body(connection, encoding, text, large_object)
            except UnreadableBodyError as error:
                unreadable.append(Unreadable(res_id, key, current, "", str(error)))
            else:
                bodies.append(Body(res_id, key, version, updated, meta_source, body))
        return bodies, unreadable

    @property
    def logical_id(self) -> sql.Composable:
        """The logical id over `hfj_resource r` and `f` of `forced_id_join`, for rows of every HAPI version."""
        candidates = [
            *(["r.fhir_id"] if self.schema.has("hfj_resource", "fhir_id") else []),
            *(["f.forced_id"] if self.schema.forced_ids else []),
            *(["r.res_id::text"] if self.schema.unfilled_fhir_id else []),
        ]
        if len(candidates) == 1:
            return sql.SQL("{}::text").format(sql.SQL(candidates[0]))
        return sql.SQL("coalesce({})::text").format(sql.SQL(", ".join(candidates)))

    @property
    def forced_id_join(self) -> sql.Composable:
        """The join that `logical_id` needs: empty where HAPI fills `fhir_id`."""
        if not self.schema.forced_ids:
            return sql.SQL("")
        return sql.SQL("LEFT JOIN {} f ON f.resource_pid = r.res_id").format(self.schema.table("hfj_forced_id"))

    @property
    def partition(self) -> sql.Composable:
        """The partition of `hfj_resource r`, never NULL."""
        if not self.schema.has("hfj_resource", "partition_id"):
            return sql.SQL("{}::integer").format(sql.Literal(NO_PARTITION))
        return sql.SQL("coalesce(r.partition_id, {})").format(sql.Literal(NO_PARTITION))

    def _meta_source(self, version_row: str) -> sql.Composable:
        """`meta.source` of a version row, as HAPI's answers have it: a URI, `#` and the id of the request."""
        in_row = self.schema.has("hfj_res_ver", "request_id")
        written = sql.SQL(_META_SOURCE).format(row=sql.Identifier(version_row)) if in_row else _NO_TEXT
        if not self.schema.provenance:
            return written
        looked_up = sql.SQL(_META_SOURCE_LOOKED_UP).format(
            source=sql.SQL(_META_SOURCE).format(row=sql.Identifier("p")),
            provenance=self.schema.table("hfj_res_ver_prov"),
            row=sql.Identifier(version_row),
        )
        return sql.SQL("coalesce({}, {})").format(written, looked_up)

    def _relation(self, query: sql.Composable, parameters: Mapping[str, Any], *, complete: bool) -> ResourceRelation:
        template = _COMPLETE if complete else _AS_STORED
        wrapped = self.compose(
            template,
            raw=query,
            definitions=self.schema.table("hfj_tag_def"),
            tag_version=self._tag_column("tag_version"),
            tag_user_selected=self._tag_column("tag_user_selected"),
        )
        return ResourceRelation(wrapped, {"zone": self.timezone, **parameters})

    def _tag_column(self, name: str) -> sql.Composable:
        """A column of tag definitions that HAPI before 6.6 does not have."""
        return sql.Identifier("d", name) if self.schema.has("hfj_tag_def", name) else _NO_TEXT


def open_tables(connection: Connection, source: HapiSource, types: Collection[str]) -> HapiTables:
    """Read HAPI's tables as this snapshot shows them, for these resource types.

    Raises:
        SourceError: a table or column that is needed is missing, or the role may not read it.
    """
    return HapiTables(read_schema(connection, source.schema), source.timezone).deduplicated(connection, types)


# The range is a condition on both tables, since PostgreSQL does not derive one on v.res_id from one on r.res_id.
# The condition on the body is a CASE over both tables. Without it, the planner expects that few version rows are left
# and looks up the resource of each, of every type; and it evaluates the condition for bodies that the join leaves out.
_STORED = """
    SELECT r.res_id, {partition} AS partition, r.res_type::text AS type, {id} AS id, r.res_ver AS version,
           r.res_updated AT TIME ZONE %(zone)s AS last_updated, {meta_source} AS meta_source,
           {body} AS body
      FROM {resources} r
      {forced_ids}
      JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
     WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {resource_condition} AND {version_condition}
       AND r.res_id <> ALL (%(duplicates)s::bigint[])
       AND CASE WHEN v.res_encoding = 'JSON' AND r.res_ver = v.res_ver THEN left(v.res_text_vc, 1) = '{{'
                ELSE FALSE END"""

_NO_TEXT = sql.SQL("NULL::text")

_META_SOURCE = "nullif(concat({row}.source_uri, '#' || nullif({row}.request_id, '')), '')"

_META_SOURCE_LOOKED_UP = "(SELECT {source} FROM {provenance} p WHERE p.res_ver_pid = {row}.pid)"

_GIVEN = """
    SELECT g.res_id, g.partition, %(resource_type)s::text AS type, g.id, g.version, g.last_updated,
           g.meta_source, {body} AS body
      FROM unnest(%(given_res_ids)s::bigint[], %(given_partitions)s::integer[], %(given_ids)s::text[],
                  %(given_versions)s::bigint[], %(given_updated)s::timestamptz[], %(given_sources)s::text[],
                  %(given_texts)s::text[])
           AS g(res_id, partition, id, version, last_updated, meta_source, text)"""

_EXCEPTIONS = """
SELECT e.res_id, e.partition, e.id, e.res_ver, e.last_updated, w.res_ver, w.res_encoding, w.res_text_vc,
       {large_object}, {meta_source}
  FROM (SELECT r.res_id, {partition} AS partition, {id} AS id, r.res_ver,
               r.res_updated AT TIME ZONE %(zone)s AS last_updated
          FROM {resources} r
          {forced_ids}
          LEFT JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver AND {version_condition}
         WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {resource_condition}
           AND (v.res_encoding = 'JSON' AND left(v.res_text_vc, 1) = '{{'
                AND r.res_id <> ALL (%(duplicates)s::bigint[])) IS NOT TRUE) e
  LEFT JOIN LATERAL (SELECT * FROM {versions} x WHERE x.res_id = e.res_id AND x.res_ver <= e.res_ver
                      ORDER BY x.res_ver DESC LIMIT 1) w ON TRUE
 ORDER BY e.res_id"""

_MEMBERS = """
SELECT r.res_id, {partition}, {id}, r.res_ver
  FROM {resources} r
  {forced_ids}
 WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {condition}
 ORDER BY r.res_id"""

_CHUNKS = """
SELECT min(res_id), max(res_id), count(*)
  FROM (SELECT res_id, (row_number() OVER (ORDER BY res_id) - 1) / %(size)s AS chunk
          FROM {resources}
         WHERE res_type = %(resource_type)s AND res_deleted_at IS NULL) numbered
 GROUP BY chunk
 ORDER BY 1"""

_DUPLICATES = """
SELECT array_agg(r.res_id)
  FROM {resources} r
  {forced_ids}
 WHERE r.res_type = ANY (%(types)s) AND r.res_deleted_at IS NULL
 GROUP BY {partition}, r.res_type, {id}
HAVING count(*) > 1"""

_DUPLICATE = "another living row has the same logical id: this database needs HAPI's migration (see docs/hapi.md)"

_AS_STORED = "SELECT partition, type, id, version, last_updated, body FROM ({raw}) AS raw"

# Adds what HAPI's REST answers have and its stored text lacks. Where the tag table has no rows for a resource, the tags
# in its text stay as they are.
_COMPLETE = """
SELECT raw.partition, raw.type, raw.id, raw.version, raw.last_updated,
       raw.body || jsonb_build_object('id', raw.id, 'meta', coalesce(raw.body -> 'meta', '{{}}') || jsonb_strip_nulls(
           jsonb_build_object(
               'versionId', raw.version::text,
               'lastUpdated', to_char(raw.last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'),
               'source', raw.meta_source, 'profile', tags.profile, 'security', tags.security, 'tag', tags.tag))) AS
               body
  FROM ({raw}) AS raw
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(d.tag_code ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 1) AS profile,
              jsonb_agg(coding ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 2) AS security,
              jsonb_agg(coding ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 0) AS tag
         FROM {tags} t
         JOIN {definitions} d ON d.tag_id = t.tag_id
        CROSS JOIN LATERAL (SELECT jsonb_build_object(
              'system', d.tag_system, 'version', {tag_version}, 'code', d.tag_code, 'display', d.tag_display,
              'userSelected', {tag_user_selected}) AS coding) c
        WHERE t.res_id = raw.res_id) tags ON TRUE"""
