"""One database transaction of the demo server: what each request does to HAPI's tables."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg

from lambda_pipeline.demo.hapi import bodies, json_patch
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.criteria import Criteria
from lambda_pipeline.demo.hapi.outcome import Outcome, RequestRefusedError
from lambda_pipeline.demo.hapi.rows import Current, Rows
from lambda_pipeline.demo.hapi.tags import Tag, merged, tags_of
from lambda_pipeline.errors import BadDataError


class Transaction:
    """Requests that become visible together, all stamped with the moment before the transaction began.

    Commits when its block ends, rolls back when that raises; or by `commit` and `rollback`. Two transactions of one
    server may be open at once, each on a connection of its own.

    Args:
        server: whose tables, clock and behaviour.
        stamp: RES_UPDATED of what is written; the server's clock by default. A delete takes the clock again, as far
            behind or ahead of it as the stamp was.
        bundle: whether this is the transaction of a FHIR bundle. There an undelete raises the version by one; a PUT by
            itself raises that of a resource with tags by two (seen on 8.8.0 in all of 24 undeletes).
    """

    def __init__(self, server: ApplicationServer, *, stamp: datetime | None = None, bundle: bool = False) -> None:
        now = server.now()
        stamped = now if stamp is None else server.to_stored(stamp)
        self._server = server
        self._lead = stamped - now
        self._bundle = bundle
        self._deleted: set[tuple[str, str]] = set()
        self._reserved: dict[str, int] = {}
        self._open = ExitStack()
        self.stamp = stamped
        self.connection = self._open.enter_context(server.database.connect())
        self.connection.execute("BEGIN")
        self._rows = Rows(server, self.connection, self.stamp)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def commit(self) -> None:
        """Make it visible; nothing if it has ended already.

        Raises:
            RequestRefusedError: 409, something refers to a deleted resource (unless the server does not check).
        """
        if self.connection.closed or self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self._open.close()
            return
        try:
            self._refuse_dangling_references()
            self.connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        self._open.close()

    def rollback(self) -> None:
        """Undo it; keys taken from sequences stay taken."""
        with self._open:
            if not self.connection.closed:
                self.connection.rollback()

    def create(self, resource: bodies.Resource) -> str:
        """Store a resource and return its id: its own, or one the server gives."""
        return (self.post(resource) if resource.get("id") is None else self.update(resource)).id

    def reserve(self, resource_type: str, placeholder: str, if_none_exist: str | None = None) -> str:
        """The id that the resource with this placeholder will have: that of a match, or one that `post` will use.

        Raises:
            RequestRefusedError: 412, several resources match.
        """
        found = self._match(resource_type, if_none_exist)
        if found:
            return found
        (self._reserved[placeholder],) = self._server.numbers.take(self.connection, "seq_resource_id")
        return str(self._reserved[placeholder])

    def post(
        self, resource: bodies.Resource, *, if_none_exist: str | None = None, placeholder: str | None = None
    ) -> Outcome:
        """POST: a new resource under an id that the server gives, equal to RES_ID; one sent is ignored.

        Args:
            resource: the resource.
            if_none_exist: search criteria such as `identifier=system|value`; when one resource matches, it is the
                outcome and nothing is written.
            placeholder: as given to `reserve`.

        Raises:
            RequestRefusedError: 412, several resources match; 400, the body is refused.
        """
        kind = _type(resource)
        found = self._match(kind, if_none_exist)
        if found:
            current = self._rows.current(kind, found)
            return Outcome(kind, found, current.version if current else None, 200)
        text = _text(resource)
        res_id = self._reserved.pop(placeholder or "", None)
        if res_id is None:
            (res_id,) = self._server.numbers.take(self.connection, "seq_resource_id")
        self._rows.insert(
            res_id, kind, str(res_id), text, tags_of(resource.get("meta")), conditional=if_none_exist is not None
        )
        return Outcome(kind, str(res_id), 1, 201)

    def update(self, resource: bodies.Resource) -> Outcome:
        """PUT: create under the client's id, change, undelete, or nothing when nothing changed.

        Profiles are replaced by those sent; tags and security labels are added to those the resource has.

        Raises:
            RequestRefusedError: 400, no id, a new id of digits only, or a body that is refused; 409, changed meanwhile.
        """
        kind, text = _type(resource), _text(resource)
        logical_id = bodies.logical_id(resource)
        if logical_id is None:
            raise RequestRefusedError("update: the resource has no id", status=400)
        current = self._rows.current(kind, logical_id)
        sent = tags_of(resource.get("meta"))
        if current is None:
            if logical_id.isdecimal():
                raise RequestRefusedError(
                    f"{kind}/{logical_id}: a client may not choose an id of digits only", status=400,
                    hint="HAPI's default client id strategy; put a letter in front",
                )  # fmt: skip
            (res_id,) = self._server.numbers.take(self.connection, "seq_resource_id")
            self._rows.insert(res_id, kind, logical_id, text, sent)
            return Outcome(kind, logical_id, 1, 201)
        return self._change(kind, logical_id, current, text, sent)

    def patch(self, resource_type: str, logical_id: str, operations: Iterable[Mapping[str, Any]]) -> Outcome:
        """PATCH with a JSON patch (RFC 6902) over the body.

        Raises:
            RequestRefusedError: 404, 410, or 400 when the patch does not fit.
        """
        current = self._alive(resource_type, logical_id)
        body = bodies.parse(self._rows.body(current))
        try:
            text = _text(json_patch.patched(body, operations))
        except RequestRefusedError:
            raise
        except BadDataError as error:
            raise RequestRefusedError(f"{resource_type}/{logical_id}: {error}", status=400) from None
        return self._change(resource_type, logical_id, current, text, self._rows.tags(current.res_id))

    def delete(self, resource_type: str, logical_id: str) -> Outcome:
        """DELETE: a version without body, stamped later than the rest; nothing for a deleted or unknown id."""
        current = self._rows.current(resource_type, logical_id)
        if current is None or current.deleted:
            return Outcome(resource_type, logical_id, current.version if current else None, 204)
        version, stamp = current.version + 1, self._server.now() + self._lead
        self._rows.set_resource(current, version, stamp, deleted_at=stamp, text_hash=None, has_tags=current.has_tags)
        self._rows.write_version(
            current.res_id, resource_type, version, stamp, current.published, encoding="DEL", text=None,
            has_tags=current.has_tags, deleted_at=stamp,
        )  # fmt: skip
        self._deleted.add((resource_type, logical_id))
        return Outcome(resource_type, logical_id, version, 204)

    def delete_matching(self, resource_type: str, criteria: str) -> list[Outcome]:
        """Conditional DELETE: every resource that matches."""
        return [self.delete(resource_type, logical_id) for logical_id in self.search(resource_type, criteria)]

    def meta_add(self, resource_type: str, logical_id: str, meta: Mapping[str, Any]) -> Outcome:
        """`$meta-add`: tags of the current version, with no new version and no new stamp."""
        current = self._alive(resource_type, logical_id)
        added = tags_of(meta) - self._rows.tags(current.res_id)
        if added:
            self._rows.add_tags(current.res_id, resource_type, added)
            self._rows.add_version_tags(self._rows.version_pid(current), current.res_id, resource_type, added)
            self.connection.execute(
                "UPDATE hfj_resource SET has_tags = true WHERE res_id = %(res_id)s", {"res_id": current.res_id}
            )
            self.connection.execute(
                "UPDATE hfj_res_ver SET has_tags = true WHERE pid = %(pid)s", {"pid": self._rows.version_pid(current)}
            )
        return Outcome(resource_type, logical_id, current.version, 200)

    def meta_delete(self, resource_type: str, logical_id: str, meta: Mapping[str, Any]) -> Outcome:
        """`$meta-delete`: the opposite of `meta_add`; not even a row is left to see it by."""
        current = self._alive(resource_type, logical_id)
        tags = [self._server.tag_id(tag) for tag in tags_of(meta)]
        parameters = {"res_id": current.res_id, "pid": self._rows.version_pid(current), "tags": tags}
        self.connection.execute(
            "DELETE FROM hfj_res_tag WHERE res_id = %(res_id)s AND tag_id = ANY(%(tags)s)", parameters
        )
        self.connection.execute(
            "DELETE FROM hfj_history_tag WHERE res_ver_pid = %(pid)s AND tag_id = ANY(%(tags)s)", parameters
        )
        return Outcome(resource_type, logical_id, current.version, 200)

    def expunge(self, resource_type: str, logical_id: str) -> None:
        """`$expunge` of a deleted resource: all its rows go, and nothing tells that they were there.

        Previous versions of a live resource go; the current one stays (HAPI refuses to expunge it).
        """
        current = self._rows.current(resource_type, logical_id)
        if current is None:
            return
        if not current.deleted:
            self.expunge_previous_versions(resource_type, logical_id)
            return
        for table in ("hfj_history_tag", "hfj_res_ver", "hfj_res_tag", "hfj_resource"):
            self.connection.execute(DELETE_ALL[table], {"res_id": current.res_id})

    def expunge_previous_versions(self, resource_type: str, logical_id: str) -> None:
        """`$expunge` with `expungePreviousVersions`: only the current version is left, with its number."""
        current = self._rows.current(resource_type, logical_id)
        if current is None:
            return
        parameters = {"res_id": current.res_id, "version": current.version}
        self.connection.execute(
            "DELETE FROM hfj_history_tag WHERE res_id = %(res_id)s AND res_ver_pid IN"
            " (SELECT pid FROM hfj_res_ver WHERE res_id = %(res_id)s AND res_ver < %(version)s)",
            parameters,
        )
        self.connection.execute(
            "DELETE FROM hfj_res_ver WHERE res_id = %(res_id)s AND res_ver < %(version)s", parameters
        )

    def write_raw(
        self, resource_type: str, logical_id: str, text: str | None, *, encoding: str = "JSON",
        large_object: bytes | None = None,
    ) -> Outcome:  # fmt: skip
        """A version with this body whatever it is: not JSON, an unknown encoding, none at all, or a large object.

        Args:
            resource_type: type of a resource that may exist already.
            logical_id: its id.
            text: RES_TEXT_VC.
            encoding: RES_ENCODING, such as `ESR`, or `JSONC` for gzip in a large object as HAPI 6 wrote it.
            large_object: content of RES_TEXT.
        """
        parameters = {"content": large_object}
        oid = None
        if large_object is not None:
            ((oid,),) = self.connection.execute("SELECT lo_from_bytea(0, %(content)s)", parameters).fetchall()
        current = self._rows.current(resource_type, logical_id)
        if current is None:
            (res_id,) = self._server.numbers.take(self.connection, "seq_resource_id")
            self._rows.insert(res_id, resource_type, logical_id, text, frozenset(), encoding=encoding, large_object=oid)
            return Outcome(resource_type, logical_id, 1, 201)
        version = current.version + 1
        text_hash = bodies.content_hash(text or "")
        self._rows.set_resource(
            current, version, self.stamp, deleted_at=None, text_hash=text_hash, has_tags=current.has_tags
        )
        self._rows.write_version(
            current.res_id, resource_type, version, self.stamp, current.published, encoding=encoding, text=text,
            has_tags=current.has_tags, large_object=oid,
        )  # fmt: skip
        return Outcome(resource_type, logical_id, version, 200)

    def rewrite_history(self, resource: bodies.Resource, version: int) -> None:
        """History rewrite: another body and stamp for a version there is, its number kept.

        Raises:
            RequestRefusedError: 404, there is no such version.
        """
        kind, logical_id, text = _type(resource), bodies.logical_id(resource), _text(resource)
        current = self._rows.current(kind, logical_id or "")
        changed = current and self.connection.execute(
            "UPDATE hfj_res_ver SET res_text_vc = %(text)s, res_encoding = 'JSON', res_updated = %(stamp)s"
            " WHERE res_id = %(res_id)s AND res_ver = %(version)s",
            {"text": text, "stamp": self.stamp, "res_id": current.res_id, "version": version},
        )
        if current is None or not changed or not changed.rowcount:
            raise RequestRefusedError(f"{kind}/{logical_id}: no version {version}", status=404)
        if version == current.version:
            self.connection.execute(
                "UPDATE hfj_resource SET res_updated = %(stamp)s, hash_sha256 = %(hash)s WHERE res_id = %(res_id)s",
                {"stamp": self.stamp, "hash": bodies.content_hash(text), "res_id": current.res_id},
            )

    def lose_version(self, resource_type: str, logical_id: str) -> None:
        """Remove the row of the current version, as servers before 6.4 left it after a delete or a no-op update."""
        current = self._rows.current(resource_type, logical_id)
        if current is not None:
            parameters = {"pid": self._rows.version_pid(current)}
            self.connection.execute("DELETE FROM hfj_history_tag WHERE res_ver_pid = %(pid)s", parameters)
            self.connection.execute("DELETE FROM hfj_res_ver WHERE pid = %(pid)s", parameters)

    def search(self, resource_type: str, criteria: str) -> list[str]:
        """Ids of the live resources that match, such as `identifier=system|value`; oldest first.

        Raises:
            RequestRefusedError: 400, criteria other than `_id` and `identifier`.
        """
        try:
            wanted = Criteria.parse(criteria)
        except BadDataError as error:
            raise RequestRefusedError(str(error), status=400) from None
        rows = self.connection.execute(
            "SELECT r.fhir_id, v.res_text_vc FROM hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_type = %(type)s AND r.res_deleted_at IS NULL AND v.res_encoding = 'JSON'"
            " AND strpos(v.res_text_vc, %(needle)s) + strpos(r.fhir_id, %(needle)s) > 0 ORDER BY r.res_id",
            {"type": resource_type, "needle": wanted.needle},
        )
        return [logical_id for logical_id, text in rows if wanted.matches(logical_id, text)]

    def existing(self, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these (type, id) there is a row for, deleted ones included."""
        wanted = list(keys)
        rows = self.connection.execute(
            "SELECT res_type, fhir_id FROM hfj_resource"
            " WHERE (res_type, fhir_id) IN (SELECT * FROM unnest(%(types)s::text[], %(ids)s::text[]))",
            {"types": [kind for kind, _ in wanted], "ids": [logical_id for _, logical_id in wanted]},
        )
        return {(kind, logical_id) for kind, logical_id in rows}

    def _match(self, kind: str, if_none_exist: str | None) -> str | None:
        found = [] if if_none_exist is None else self.search(kind, if_none_exist)
        if len(found) > 1:
            raise RequestRefusedError(f"{len(found)} resources match the conditional create", status=412)
        return found[0] if found else None

    def _change(self, kind: str, logical_id: str, current: Current, text: str, sent: frozenset[Tag]) -> Outcome:
        stored = self._rows.tags(current.res_id)
        tags = merged(stored, sent)
        text_hash = bodies.content_hash(text)
        if not current.deleted and text_hash == current.hash and tags == stored:
            return Outcome(kind, logical_id, current.version, 200)
        version = current.version + (2 if current.deleted and current.has_tags and not self._bundle else 1)
        self._rows.set_resource(current, version, self.stamp, deleted_at=None, text_hash=text_hash, has_tags=bool(tags))
        self._rows.remove_tags(current.res_id, stored - tags)
        self._rows.add_tags(current.res_id, kind, tags - stored)
        pid = self._rows.write_version(
            current.res_id,
            kind,
            version,
            self.stamp,
            current.published,
            encoding="JSON",
            text=text,
            has_tags=bool(tags),
        )
        self._rows.add_version_tags(pid, current.res_id, kind, tags)
        self._deleted.discard((kind, logical_id))
        return Outcome(kind, logical_id, version, 201 if current.deleted else 200)

    def _alive(self, kind: str, logical_id: str) -> Current:
        current = self._rows.current(kind, logical_id)
        if current is None:
            raise RequestRefusedError(f"{kind}/{logical_id} is not known", status=404)
        if current.deleted:
            raise RequestRefusedError(f"{kind}/{logical_id} was deleted", status=410)
        return current

    def _refuse_dangling_references(self) -> None:
        if not self._deleted or not self._server.referential_integrity:
            return
        row = self.connection.execute(
            "SELECT r.res_type, r.fhir_id FROM hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_deleted_at IS NULL AND EXISTS ("
            "   SELECT FROM unnest(%(references)s::text[]) reference WHERE strpos(v.res_text_vc, reference) > 0)"
            " LIMIT 1",
            {"references": [f'"reference":"{kind}/{logical_id}"' for kind, logical_id in sorted(self._deleted)]},
        ).fetchone()
        if row is not None:
            raise RequestRefusedError(f"{row[0]}/{row[1]} refers to a resource that is to be deleted", status=409)


def _type(resource: bodies.Resource) -> str:
    try:
        return bodies.resource_type(resource)
    except BadDataError as error:
        raise RequestRefusedError(str(error), status=400) from None


def _text(resource: bodies.Resource) -> str:
    try:
        bodies.check_dates(resource)
        return bodies.stored_text(resource)
    except BadDataError as error:
        raise RequestRefusedError(str(error), status=400) from None


DELETE_ALL = {
    "hfj_history_tag": "DELETE FROM hfj_history_tag WHERE res_id = %(res_id)s",
    "hfj_res_ver": "DELETE FROM hfj_res_ver WHERE res_id = %(res_id)s",
    "hfj_res_tag": "DELETE FROM hfj_res_tag WHERE res_id = %(res_id)s",
    "hfj_resource": "DELETE FROM hfj_resource WHERE res_id = %(res_id)s",
}
