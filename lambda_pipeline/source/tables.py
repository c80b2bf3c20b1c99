"""HAPI's tables as one relation of resources: the seam that every view is compiled over.

`HapiTables.stored` is the bulk path: bodies that are JSON text, joined by key and version. What that join cannot
take (a body in a large object, a version row that is missing, an unknown encoding) is an exception: `exceptions`
reads those one by one, gives what can be read to `given`, and names the rest. Nothing is ever dropped silently.
"""

import gzip
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.schema import HapiSchema, read_schema

NO_PARTITION = -1
"""Stands for HAPI's `PARTITION_ID` NULL, so that keys compare with plain equality."""


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """Identity of a resource: partition, type and logical id."""

    partition: int
    type: str
    id: str

    def __str__(self) -> str:
        where = "" if self.partition == NO_PARTITION else f" in partition {self.partition}"
        return f"{self.type}/{self.id}{where}"


@dataclass(frozen=True, slots=True)
class ResourceRange:
    """Which resources of a type: a closed range of `res_id`, or a list of them."""

    low: int | None = None
    high: int | None = None
    res_ids: tuple[int, ...] | None = None

    def condition(self, alias: str) -> sql.Composable:
        """As SQL over the `res_id` of a table alias; parameters as in `parameters`."""
        column = sql.Identifier(alias, "res_id")
        if self.res_ids is not None:
            return sql.SQL("{} = ANY (%(res_ids)s)").format(column)
        if self.low is None:
            return sql.SQL("TRUE")
        return sql.SQL("{} BETWEEN %(low)s AND %(high)s").format(column)

    @property
    def parameters(self) -> dict[str, Any]:
        """Values for the parameters of `condition`."""
        return {"res_ids": list(self.res_ids) if self.res_ids is not None else None, "low": self.low, "high": self.high}


EVERYTHING = ResourceRange()


@dataclass(frozen=True, slots=True)
class ResourceRelation:
    """Something that may stand in FROM (…): see `View.select`."""

    query: sql.Composable
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A resource whose text was read outside the bulk path."""

    res_id: int
    key: ResourceKey
    version: int
    last_updated: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A resource that has no rows because it cannot be read.

    Attributes:
        res_id: HAPI's primary key.
        key: its identity.
        version: the version that cannot be read.
        sqlstate: of PostgreSQL's error, or empty when the body could not be fetched at all.
        reason: for people; never holds a value of the resource.
    """

    res_id: int
    key: ResourceKey
    version: int
    sqlstate: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """One living resource of a type, without its body."""

    res_id: int
    key: ResourceKey
    version: int


@dataclass(frozen=True, slots=True)
class HapiTables:
    """The relation of resources over one HAPI database, as one snapshot shows it.

    Attributes:
        schema: what the tables look like.
        timezone: zone of HAPI's JVM, in which `res_updated` is stored without saying so.
        duplicates: living rows that share their logical id with another, which a database upgraded without HAPI's
        migrator
            may have: neither can be told to be the resource, so both are reported and left out.
    """

    schema: HapiSchema
    timezone: str
    duplicates: frozenset[int] = field(default_factory=frozenset)

    def members(self, connection: Connection, resource_type: str, scope: ResourceRange) -> list[Member]:
        """Living resources of a type, by `res_id`."""
        query = sql.SQL(_MEMBERS).format(
            partition=self.partition,
            id=self.logical_id,
            resources=self.schema.table("hfj_resource"),
            forced_ids=self.forced_id_join,
            scope=scope.condition("r"),
        )
        rows = connection.execute(query, {"resource_type": resource_type, **scope.parameters})
        return [
            Member(res_id, ResourceKey(partition, resource_type, logical_id), version)
            for res_id, partition, logical_id, version in rows
        ]

    def chunks(self, connection: Connection, resource_type: str, size: int) -> list[tuple[ResourceRange, int]]:
        """Ranges of `res_id` that hold `size` living resources of the type each, with their number."""
        query = sql.SQL(_CHUNKS).format(resources=self.schema.table("hfj_resource"))
        rows = connection.execute(query, {"resource_type": resource_type, "size": size})
        return [(ResourceRange(low=low, high=high), count) for low, high, count in rows]

    def deduplicated(self, connection: Connection, types: Collection[str]) -> "HapiTables":
        """The same tables, knowing which living rows share a logical id. Costs nothing where HAPI keeps ids unique."""
        if not self.schema.unfilled_fhir_id:
            return self
        query = sql.SQL(_DUPLICATES).format(
            partition=self.partition,
            id=self.logical_id,
            resources=self.schema.table("hfj_resource"),
            forced_ids=self.forced_id_join,
        )
        rows = connection.execute(query, {"types": sorted(types)})
        return HapiTables(self.schema, self.timezone, frozenset(res_id for (ids,) in rows for res_id in ids))

    def stored(self, resource_type: str, scope: ResourceRange, *, complete: bool) -> ResourceRelation:
        """Living resources of a type whose body is JSON text, with `complete` bodies (id and meta) if asked."""
        query = sql.SQL(_STORED).format(
            id=self.logical_id,
            partition=self.partition,
            body=_jsonb(sql.SQL("v.res_text_vc")),
            resources=self.schema.table("hfj_resource"),
            versions=self.schema.table("hfj_res_ver"),
            forced_ids=self.forced_id_join,
            source_uri=self._source_uri,
            resource_scope=scope.condition("r"),
            version_scope=scope.condition("v"),
        )
        parameters = {"resource_type": resource_type, "duplicates": sorted(self.duplicates), **scope.parameters}
        return self._relation(query, parameters, complete=complete)

    def given(self, resource_type: str, bodies: Sequence[Body], *, complete: bool) -> ResourceRelation:
        """The same relation over bodies that were already read."""
        query = sql.SQL(_GIVEN).format(body=_jsonb(sql.SQL("g.text")))
        parameters = {
            "resource_type": resource_type,
            "given_res_ids": [body.res_id for body in bodies],
            "given_partitions": [body.key.partition for body in bodies],
            "given_ids": [body.key.id for body in bodies],
            "given_versions": [body.version for body in bodies],
            "given_updated": [body.last_updated for body in bodies],
            "given_texts": [body.text for body in bodies],
        }
        return self._relation(query, parameters, complete=complete)

    def exceptions(
        self, connection: Connection, resource_type: str, scope: ResourceRange
    ) -> tuple[list[Body], list[Unreadable]]:
        """What `stored` leaves out, read one by one: bodies that could be had, and the rest with the reason.

        HAPI itself walks back to the newest lower version when the current one has no row; so does this.
        """
        query = sql.SQL(_EXCEPTIONS).format(
            id=self.logical_id,
            partition=self.partition,
            forced_ids=self.forced_id_join,
            resources=self.schema.table("hfj_resource"),
            versions=self.schema.table("hfj_res_ver"),
            resource_scope=scope.condition("r"),
            version_scope=scope.condition("v"),
            large_object=sql.SQL(
                "w.res_text::bigint" if self.schema.has("hfj_res_ver", "res_text") else "NULL::bigint"
            ),
        )
        parameters = {"duplicates": sorted(self.duplicates), "zone": self.timezone, **scope.parameters}
        rows = connection.execute(query, {"resource_type": resource_type, **parameters}).fetchall()
        bodies: list[Body] = []
        unreadable: list[Unreadable] = []
        for res_id, partition, logical_id, current, updated, version, encoding, text, large_object in rows:
            key = ResourceKey(partition, resource_type, logical_id)
            if res_id in self.duplicates:
                unreadable.append(Unreadable(res_id, key, current, "", _DUPLICATE))
                continue
            try:
                body = _read_body(connection, encoding, text, large_object)
            except _UnreadableBodyError as error:
                unreadable.append(Unreadable(res_id, key, current, "", str(error)))
            else:
                bodies.append(Body(res_id, key, version, updated, body))
        return bodies, unreadable

    @property
    def logical_id(self) -> sql.Composable:
        """The logical id over `hfj_resource r` (and `f` of `forced_id_join`), whichever HAPI version wrote the row."""
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

    @property
    def _source_uri(self) -> sql.Composable:
        return sql.SQL("v.source_uri" if self.schema.has("hfj_res_ver", "source_uri") else "NULL::text")

    def _relation(self, query: sql.Composable, parameters: Mapping[str, Any], *, complete: bool) -> ResourceRelation:
        template = _COMPLETE if complete else _AS_STORED
        wrapped = sql.SQL(template).format(
            raw=query, tags=self.schema.table("hfj_res_tag"), definitions=self.schema.table("hfj_tag_def")
        )
        return ResourceRelation(wrapped, {"zone": self.timezone, **parameters})


def open_tables(connection: Connection, schema: str, timezone: str, types: Collection[str]) -> HapiTables:
    """HAPI's tables as this snapshot shows them, for these resource types.

    Raises:
        SourceError: tables or columns that are needed are missing, or may not be read.
    """
    return HapiTables(read_schema(connection, schema), timezone).deduplicated(connection, types)


class _UnreadableBodyError(Exception):
    """Why a body cannot be had."""


def _read_body(connection: Connection, encoding: str | None, text: str | None, large_object: int | None) -> str:
    """The read rule of HAPI's version rows (encoding, inline text, large object), total by construction."""
    if encoding is None:
        raise _UnreadableBodyError("the resource has no version row")
    if encoding == "DEL":
        raise _UnreadableBodyError("the newest version row is a delete, the resource row is not")
    if encoding not in ("JSON", "JSONC"):
        where = "outside the database" if encoding == "ESR" else "in an unknown encoding"
        raise _UnreadableBodyError(f"the body is stored {where} ({encoding})")
    if text is not None and encoding == "JSON":
        if not text.startswith("{"):
            raise _UnreadableBodyError("the body is not a JSON object")
        return text
    if large_object is None:
        raise _UnreadableBodyError("the version row has no body")
    try:
        with connection.transaction():
            row = connection.execute("SELECT lo_get(%(oid)s::oid)", {"oid": large_object}).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise _UnreadableBodyError("this role may not read HAPI's large objects (see docs/hapi.md)") from None
    except psycopg.errors.UndefinedObject:
        raise _UnreadableBodyError("the large object of the body is missing") from None
    assert row is not None
    try:
        return (gzip.decompress(row[0]) if encoding == "JSONC" else bytes(row[0])).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        raise _UnreadableBodyError(f"the large object of the body is not {encoding}") from None


def _jsonb(text: sql.Composable) -> sql.Composable:
    """A body as jsonb. HAPI stores the escape of U+0000, which jsonb refuses and FHIR forbids: it becomes U+FFFD."""
    return sql.SQL(_JSONB).format(text=text)


_JSONB = r"""CASE WHEN strpos({text}, '\u0000') > 0
               THEN regexp_replace({text}, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') ELSE {text} END::jsonb"""

# Both scopes are spelt out: PostgreSQL derives no range on v.res_id from one on r.res_id.
# The condition on the body is a CASE over both tables: as a plain one the planner takes it to leave almost no version
# rows, and probes the resource of each, of every type; and it would look at bodies that the join throws away.
_STORED = """
    SELECT r.res_id, {partition} AS partition, r.res_type::text AS type, {id} AS id, r.res_ver AS version,
           r.res_updated AT TIME ZONE %(zone)s AS last_updated, {source_uri} AS source_uri,
           {body} AS body
      FROM {resources} r
      {forced_ids}
      JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
     WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {resource_scope} AND {version_scope}
       AND r.res_id <> ALL (%(duplicates)s)
       AND CASE WHEN v.res_encoding = 'JSON' AND r.res_ver = v.res_ver THEN left(v.res_text_vc, 1) = '{{'
                ELSE FALSE END"""

_GIVEN = """
    SELECT g.res_id, g.partition, %(resource_type)s::text AS type, g.id, g.version, g.last_updated,
           NULL::text AS source_uri, {body} AS body
      FROM unnest(%(given_res_ids)s::bigint[], %(given_partitions)s::integer[], %(given_ids)s::text[],
                  %(given_versions)s::bigint[], %(given_updated)s::timestamptz[], %(given_texts)s::text[])
           AS g(res_id, partition, id, version, last_updated, text)"""

_EXCEPTIONS = """
SELECT e.res_id, e.partition, e.id, e.res_ver, e.last_updated, w.res_ver, w.res_encoding, w.res_text_vc,
{large_object}
  FROM (SELECT r.res_id, {partition} AS partition, {id} AS id, r.res_ver,
               r.res_updated AT TIME ZONE %(zone)s AS last_updated
          FROM {resources} r
          {forced_ids}
          LEFT JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver AND {version_scope}
         WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {resource_scope}
           AND (v.res_encoding = 'JSON' AND left(v.res_text_vc, 1) = '{{'
                AND r.res_id <> ALL (%(duplicates)s)) IS NOT TRUE) e
  LEFT JOIN LATERAL (SELECT * FROM {versions} x WHERE x.res_id = e.res_id AND x.res_ver <= e.res_ver
                      ORDER BY x.res_ver DESC LIMIT 1) w ON TRUE
 ORDER BY e.res_id"""

_MEMBERS = """
SELECT r.res_id, {partition}, {id}, r.res_ver
  FROM {resources} r
  {forced_ids}
 WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL AND {scope}
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

# What HAPI's REST answers have and its stored text has not; a tag table without rows leaves inline tags as they are.
_COMPLETE = """
SELECT raw.partition, raw.type, raw.id, raw.version, raw.last_updated,
       raw.body || jsonb_build_object('id', raw.id, 'meta', coalesce(raw.body -> 'meta', '{{}}') || jsonb_strip_nulls(
           jsonb_build_object(
               'versionId', raw.version::text,
               'lastUpdated', to_char(raw.last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'),
               'source', raw.source_uri, 'profile', tags.profile, 'security', tags.security, 'tag', tags.tag))) AS
               body
  FROM ({raw}) AS raw
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(d.tag_code ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 1) AS profile,
              jsonb_agg(coding ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 2) AS security,
              jsonb_agg(coding ORDER BY d.tag_id) FILTER (WHERE d.tag_type = 0) AS tag
         FROM {tags} t
         JOIN {definitions} d ON d.tag_id = t.tag_id
        CROSS JOIN LATERAL (SELECT jsonb_build_object(
              'system', d.tag_system, 'code', d.tag_code, 'display', d.tag_display) AS coding) c
        WHERE t.res_id = raw.res_id) tags ON TRUE"""
