"""The rows of one resource in HAPI's tables: reading its current state, writing its versions and tags.

Which rows a request writes is decided in `transaction`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lambda_pipeline.database import Connection
from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.outcome import RequestRefusedError
from lambda_pipeline.demo.hapi.tags import Tag

FHIR_VERSION = "R4"


@dataclass(frozen=True, slots=True)
class Current:
    """The columns of HFJ_RESOURCE that are needed to write the next version."""

    res_id: int
    version: int
    deleted: bool
    hash: str | None
    published: datetime
    has_tags: bool


class Rows:
    """HAPI's tables within one transaction of one server.

    Args:
        server: gives partition, keys and tags.
        connection: connection of the transaction.
        stamp: RES_UPDATED and RES_PUBLISHED of new resources.
    """

    def __init__(self, server: ApplicationServer, connection: Connection, stamp: datetime) -> None:
        self._server = server
        self._connection = connection
        self._stamp = stamp

    def current(self, resource_type: str, logical_id: str) -> Current | None:
        """The state of a resource; None if it has no row."""
        row = self._connection.execute(
            "SELECT res_id, res_ver, res_deleted_at IS NOT NULL, hash_sha256, res_published, has_tags"
            " FROM hfj_resource"
            " WHERE res_type = %(type)s AND fhir_id = %(id)s AND partition_id IS NOT DISTINCT FROM %(partition)s",
            {"type": resource_type, "id": logical_id, "partition": self._server.partition},
        ).fetchone()
        return Current(*row) if row else None

    def insert(
        self, res_id: int, resource_type: str, logical_id: str, text: str | None, tags: frozenset[Tag], *,
        conditional: bool = False, encoding: str = "JSON", large_object: int | None = None,
    ) -> None:  # fmt: skip
        """Write a new resource with its first version."""
        self._connection.execute(
            INSERT_RESOURCE,
            {
                "res_id": res_id, "partition": self._server.partition, "stamp": self._stamp, "type": resource_type,
                "type_id": self._server.type_id(resource_type), "fhir_id": logical_id, "has_tags": bool(tags),
                "hash": bodies.content_hash(text or ""), "conditional": conditional, "fhir_version": FHIR_VERSION,
            },
        )  # fmt: skip
        self.add_tags(res_id, resource_type, tags)
        pid = self.write_version(
            res_id, resource_type, 1, self._stamp, self._stamp, encoding=encoding, text=text, has_tags=bool(tags),
            large_object=large_object,
        )  # fmt: skip
        self.add_version_tags(pid, res_id, resource_type, tags)

    def set_resource(
        self, current: Current, version: int, stamp: datetime, *, deleted_at: datetime | None, text_hash: str | None,
        has_tags: bool,
    ) -> None:  # fmt: skip
        """Write the new state of a resource.

        Raises:
            RequestRefusedError: 409, another transaction has changed the resource.
        """
        changed = self._connection.execute(
            "UPDATE hfj_resource SET res_ver = %(version)s, res_updated = %(stamp)s, res_deleted_at = %(deleted_at)s,"
            " hash_sha256 = %(hash)s, has_tags = %(has_tags)s, search_url_present = false"
            " WHERE res_id = %(res_id)s AND res_ver = %(before)s",
            {
                "version": version, "stamp": stamp, "deleted_at": deleted_at, "hash": text_hash, "has_tags": has_tags,
                "res_id": current.res_id, "before": current.version,
            },
        )  # fmt: skip
        if not changed.rowcount:
            raise RequestRefusedError("the resource was changed by another transaction", status=409)

    def write_version(
        self, res_id: int, resource_type: str, version: int, stamp: datetime, published: datetime, *, encoding: str,
        text: str | None, has_tags: bool, deleted_at: datetime | None = None, large_object: int | None = None,
    ) -> int:  # fmt: skip
        """Write a version row and return its PID; with history off it replaces the existing row."""
        parameters = {
            "partition": self._server.partition, "res_id": res_id, "type": resource_type,
            "type_id": self._server.type_id(resource_type), "version": version, "stamp": stamp, "published": published,
            "deleted_at": deleted_at, "encoding": encoding, "text": text,
            "has_tags": has_tags, "large_object": large_object, "fhir_version": FHIR_VERSION,
        }  # fmt: skip
        if not self._server.history and version > 1:
            row = self._connection.execute(REPLACE_VERSION, parameters).fetchone()
            if row is not None:
                self._connection.execute("DELETE FROM hfj_history_tag WHERE res_ver_pid = %(pid)s", {"pid": row[0]})
                return int(row[0])
        (pid,) = self._server.numbers.take(self._connection, "seq_resource_history_id")
        self._connection.execute(INSERT_VERSION, {**parameters, "pid": pid})
        return pid

    def body(self, current: Current) -> str:
        """The text of the current version; empty if it has no text or no row."""
        row = self._connection.execute(
            "SELECT res_text_vc FROM hfj_res_ver WHERE res_id = %(res_id)s AND res_ver = %(version)s",
            {"res_id": current.res_id, "version": current.version},
        ).fetchone()
        return row[0] if row and row[0] is not None else ""

    def version_pid(self, current: Current) -> int | None:
        """The PID of the current version; None if its row is missing."""
        row = self._connection.execute(
            "SELECT pid FROM hfj_res_ver WHERE res_id = %(res_id)s AND res_ver = %(version)s",
            {"res_id": current.res_id, "version": current.version},
        ).fetchone()
        return row[0] if row else None

    def tags(self, res_id: int) -> frozenset[Tag]:
        """The tags of the current version."""
        rows = self._connection.execute(
            "SELECT tag_id FROM hfj_res_tag WHERE res_id = %(res_id)s", {"res_id": res_id}
        ).fetchall()
        return frozenset(self._server.tag(tag_id) for (tag_id,) in rows)

    def add_tags(self, res_id: int, resource_type: str, tags: Iterable[Tag]) -> None:
        """Add tags to the current version of a resource."""
        for tag in tags:
            (pid,) = self._server.numbers.take(self._connection, "seq_restag_id")
            self._connection.execute(
                "INSERT INTO hfj_res_tag (pid, partition_id, tag_id, res_id, res_type, res_type_id)"
                " VALUES (%(pid)s, %(partition)s, %(tag)s, %(res_id)s, %(type)s, %(type_id)s)",
                {
                    "pid": pid, "partition": self._server.partition, "tag": self._server.tag_id(tag), "res_id": res_id,
                    "type": resource_type, "type_id": self._server.type_id(resource_type),
                },
            )  # fmt: skip

    def remove_tags(self, res_id: int, tags: Iterable[Tag]) -> None:
        """Remove tags from the current version of a resource."""
        self._connection.execute(
            "DELETE FROM hfj_res_tag WHERE res_id = %(res_id)s AND tag_id = ANY(%(tags)s)",
            {"res_id": res_id, "tags": [self._server.tag_id(tag) for tag in tags]},
        )

    def add_version_tags(self, version_pid: int | None, res_id: int, resource_type: str, tags: Iterable[Tag]) -> None:
        """Record the tags of one version row; does nothing if the version has no row."""
        if version_pid is None:
            return
        for tag in tags:
            (pid,) = self._server.numbers.take(self._connection, "seq_historytag_id")
            self._connection.execute(
                "INSERT INTO hfj_history_tag (pid, partition_id, tag_id, res_ver_pid, res_id, res_type, res_type_id)"
                " VALUES (%(pid)s, %(partition)s, %(tag)s, %(version_pid)s, %(res_id)s, %(type)s, %(type_id)s)",
                {
                    "pid": pid, "partition": self._server.partition, "tag": self._server.tag_id(tag),
                    "version_pid": version_pid, "res_id": res_id, "type": resource_type,
                    "type_id": self._server.type_id(resource_type),
                },
            )  # fmt: skip


INSERT_RESOURCE = """
INSERT INTO hfj_resource (
    res_id, partition_id, res_version, has_tags, res_published, res_updated, fhir_id, sp_has_links, hash_sha256,
    sp_index_status, sp_cmpstr_uniq_present, sp_cmptoks_present, sp_coords_present, sp_date_present,
    sp_number_present, sp_quantity_nrml_present, sp_quantity_present, sp_string_present, sp_token_present,
    sp_uri_present, res_type, res_type_id, search_url_present, res_ver
) VALUES (
    %(res_id)s, %(partition)s, %(fhir_version)s, %(has_tags)s, %(stamp)s, %(stamp)s, %(fhir_id)s, false, %(hash)s,
    0, false, false, false, false, false, false, false, false, false, false, %(type)s, %(type_id)s, %(conditional)s, 1
)
"""

INSERT_VERSION = """
INSERT INTO hfj_res_ver (
    partition_id, pid, res_deleted_at, res_version, has_tags, res_published, res_updated, res_encoding, res_text,
    res_id, res_text_vc, res_type, res_type_id, res_ver
) VALUES (
    %(partition)s, %(pid)s, %(deleted_at)s, %(fhir_version)s, %(has_tags)s, %(published)s, %(stamp)s, %(encoding)s,
    %(large_object)s, %(res_id)s, %(text)s, %(type)s, %(type_id)s, %(version)s
)
"""

REPLACE_VERSION = """
UPDATE hfj_res_ver SET
    res_deleted_at = %(deleted_at)s, has_tags = %(has_tags)s, res_updated = %(stamp)s, res_encoding = %(encoding)s,
    res_text = %(large_object)s, res_text_vc = %(text)s, res_ver = %(version)s
WHERE pid = (SELECT pid FROM hfj_res_ver WHERE res_id = %(res_id)s ORDER BY res_ver DESC LIMIT 1)
RETURNING pid
"""
