"""One database transaction of the imitation: what each request does to HAPI's tables.

How single rows are written is in `rows`, the order of a bundle's requests in `bundles`.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.criteria import Criteria
from lambda_pipeline.demo.hapi.outcome import Outcome, RequestRefusedError
from lambda_pipeline.demo.hapi.rows import Current, Rows
from lambda_pipeline.demo.hapi.tags import Tag, check_meta, merge_tags, tags_of
from lambda_pipeline.errors import BadDataError


class Transaction:
    """Requests that become visible together; all have the timestamp of the moment before the transaction began.

    It commits when its `with` block ends and rolls back when the block raises, or on `commit` and `rollback`. Several
    transactions of one server may be open at once, each on a connection of its own.

    Args:
        server: gives tables, clock and behaviour.
        stamp: RES_UPDATED of the written rows, UTC-aware; the server's clock by default. A delete reads the clock
            again and keeps the difference between `stamp` and the clock.
        bundle: whether this is the transaction of a FHIR bundle. There, an undelete raises the version by one; a single
            PUT raises the version of a resource with tags by two (observed on 8.8.0 in all of 24 undeletes).
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
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error_type is None:
            self.commit()
        else:
            self.rollback()

    def commit(self) -> None:
        """Make the changes visible; does nothing if the transaction has already ended.

        Raises:
            RequestRefusedError: 409, a resource refers to a deleted one (if the server checks references).
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
        """Undo the changes; keys taken from sequences are not returned."""
        with self._open:
            if not self.connection.closed:
                self.connection.rollback()

    def create(self, resource: bodies.Resource) -> str:
        """Store a resource and return its id: its own, or one that the server assigns."""
        return (self.post(resource) if resource.get("id") is None else self.update(resource)).id

    def reserve(self, resource_type: str, placeholder: str, if_none_exist: str | None = None) -> str:
        """Return the id that the resource with this placeholder will have: of a match, or one that `post` will use.

        Raises:
            RequestRefusedError: 412, several resources match.
        """
        found = self._find_match(resource_type, if_none_exist)
        if found:
            return found
        (self._reserved[placeholder],) = self._server.numbers.take(self.connection, "seq_resource_id")
        return str(self._reserved[placeholder])

    def post(
        self, resource: bodies.Resource, *, if_none_exist: str | None = None, placeholder: str | None = None
    ) -> Outcome:
        """POST: create a resource under an id that the server assigns, equal to RES_ID; an id in the body is ignored.

        Args:
            resource: the resource.
            if_none_exist: search criteria such as `identifier=system|value`; if one resource matches, it is the
                outcome and nothing is written.
            placeholder: the one that was passed to `reserve`.

        Raises:
            RequestRefusedError: 412, several resources match; 400, the body is refused.
        """
        resource_type = _require_type(resource)
        found = self._find_match(resource_type, if_none_exist)
        if found:
            current = self._rows.current(resource_type, found)
            return Outcome(resource_type, found, current.version if current else None, 200)
        text = _make_text(resource)
        res_id = self._reserved.pop(placeholder or "", None)
        if res_id is None:
            (res_id,) = self._server.numbers.take(self.connection, "seq_resource_id")
        self._rows.insert(
            res_id,
            resource_type,
            str(res_id),
            text,
            tags_of(resource.get("meta")),
            conditional=if_none_exist is not None,
        )
        return Outcome(resource_type, str(res_id), 1, 201)

    def update(self, resource: bodies.Resource) -> Outcome:
        """PUT: create under the client's id, change or undelete; an equal body writes nothing.

        The profiles of the request replace those of the resource; tags and security labels are added to its own.

        Raises:
            RequestRefusedError: 400, no id, a new id of digits only, or a body that is refused; 409, another
                transaction changed the resource.
        """
        resource_type, text = _require_type(resource), _make_text(resource)
        logical_id = bodies.logical_id(resource)
        if logical_id is None:
            raise RequestRefusedError("update: the resource has no id", status=400)
        current = self._rows.current(resource_type, logical_id)
        sent = tags_of(resource.get("meta"))
        if current is None:
            if logical_id.isdecimal():
                raise RequestRefusedError(
                    f"{resource_type}/{logical_id}: a client may not choose an id of digits only", status=400,
                    hint="add a letter to the id, as HAPI's default client id strategy requires",
                )  # fmt: skip
            (res_id,) = self._server.numbers.take(self.connection, "seq_resource_id")
            self._rows.insert(res_id, resource_type, logical_id, text, sent)
            return Outcome(resource_type, logical_id, 1, 201)
        return self._write_change(resource_type, logical_id, current, text, sent)

    def patch(self, resource_type: str, logical_id: str, operations: Iterable[Mapping[str, Any]]) -> Outcome:
        """PATCH: apply a JSON patch (RFC 6902) to the body.

        Raises:
            RequestRefusedError: 404, unknown; 410, deleted; 400, the patch does not apply or its result is refused.
        """
        current = self._require_current(resource_type, logical_id)
        text = _make_text(_apply_patch(bodies.parse(self._rows.body(current)), operations))
        return self._write_change(resource_type, logical_id, current, text, self._rows.tags(current.res_id))

    def delete(self, resource_type: str, logical_id: str) -> Outcome:
        """DELETE: write a version without body, with a timestamp of its own; nothing for a deleted or unknown id."""
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
        """Conditional DELETE of every resource that matches."""
        return [self.delete(resource_type, logical_id) for logical_id in self.search(resource_type, criteria)]

    def meta_add(self, resource_type: str, logical_id: str, meta: Mapping[str, Any]) -> Outcome:
        """`$meta-add`: add tags to the current version; version number and timestamp stay."""
        current = self._require_current(resource_type, logical_id)
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
        """`$meta-delete`: remove tags from the current version; no row shows that they existed."""
        current = self._require_current(resource_type, logical_id)
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
        """`$expunge` of a deleted resource: remove all its rows, so that no row shows that it existed.

        Of a resource that is not deleted, previous versions are removed and the current one stays, as in HAPI.
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
        """`$expunge` with `expungePreviousVersions`: keep only the current version, with its number."""
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

    def search(self, resource_type: str, criteria: str) -> list[str]:
        """Ids of resources that match, such as `identifier=system|value`, and are not deleted; oldest first.

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

    def find_existing(self, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the given (type, id) pairs that have a row, deleted resources included."""
        wanted = list(keys)
        rows = self.connection.execute(
            "SELECT res_type, fhir_id FROM hfj_resource"
            " WHERE (res_type, fhir_id) IN (SELECT * FROM unnest(%(types)s::text[], %(ids)s::text[]))",
            {"types": [resource_type for resource_type, _ in wanted], "ids": [logical_id for _, logical_id in wanted]},
        )
        return {(resource_type, logical_id) for resource_type, logical_id in rows}

    def _find_match(self, resource_type: str, if_none_exist: str | None) -> str | None:
        found = [] if if_none_exist is None else self.search(resource_type, if_none_exist)
        if len(found) > 1:
            raise RequestRefusedError(f"{len(found)} resources match the conditional create", status=412)
        return found[0] if found else None

    def _write_change(
        self, resource_type: str, logical_id: str, current: Current, text: str, sent: frozenset[Tag]
    ) -> Outcome:
        stored = self._rows.tags(current.res_id)
        tags = merge_tags(stored, sent)
        text_hash = bodies.content_hash(text)
        if not current.deleted and text_hash == current.hash and tags == stored:
            return Outcome(resource_type, logical_id, current.version, 200)
        version = current.version + (2 if current.deleted and current.has_tags and not self._bundle else 1)
        self._rows.set_resource(current, version, self.stamp, deleted_at=None, text_hash=text_hash, has_tags=bool(tags))
        self._rows.remove_tags(current.res_id, stored - tags)
        self._rows.add_tags(current.res_id, resource_type, tags - stored)
        pid = self._rows.write_version(
            current.res_id,
            resource_type,
            version,
            self.stamp,
            current.published,
            encoding="JSON",
            text=text,
            has_tags=bool(tags),
        )
        self._rows.add_version_tags(pid, current.res_id, resource_type, tags)
        self._deleted.discard((resource_type, logical_id))
        return Outcome(resource_type, logical_id, version, 201 if current.deleted else 200)

    def _require_current(self, resource_type: str, logical_id: str) -> Current:
        current = self._rows.current(resource_type, logical_id)
        if current is None:
            raise RequestRefusedError(f"{resource_type}/{logical_id} does not exist", status=404)
        if current.deleted:
            raise RequestRefusedError(f"{resource_type}/{logical_id} was deleted", status=410)
        return current

    def _refuse_dangling_references(self) -> None:
        if not self._deleted or not self._server.referential_integrity:
            return
        row = self.connection.execute(
            "SELECT r.res_type, r.fhir_id FROM hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_deleted_at IS NULL AND EXISTS ("
            "   SELECT FROM unnest(%(references)s::text[]) reference WHERE strpos(v.res_text_vc, reference) > 0)"
            " LIMIT 1",
            {
                "references": [
                    f'"reference":"{resource_type}/{logical_id}"' for resource_type, logical_id in sorted(self._deleted)
                ]
            },
        ).fetchone()
        if row is not None:
            raise RequestRefusedError(f"{row[0]}/{row[1]} refers to a deleted resource", status=409)


def _apply_patch(body: bodies.Resource, operations: Iterable[Mapping[str, Any]]) -> Any:
    # The package comes with the extra `embedded`; an installation that only reads a real HAPI is without it.
    import jsonpatch  # noqa: PLC0415

    patch = list(operations)
    # An empty pointer means the resource as a whole, which a patch can neither replace nor copy.
    if not all(isinstance(item, Mapping) and item.get("path") and item.get("from", "/") for item in patch):
        raise RequestRefusedError("the JSON patch has an operation without a path that starts with /", status=400)
    try:
        return jsonpatch.apply_patch(body, patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        # The package's messages quote values of the resource.
        raise RequestRefusedError(f"the JSON patch does not apply ({type(error).__name__})", status=400) from None


def _require_type(resource: bodies.Resource) -> str:
    try:
        return bodies.resource_type(resource)
    except BadDataError as error:
        raise RequestRefusedError(str(error), status=400) from None


def _make_text(resource: bodies.Resource) -> str:
    try:
        bodies.check_dates(resource)
        check_meta(resource.get("meta"))
        return bodies.stored_text(resource)
    except BadDataError as error:
        raise RequestRefusedError(str(error), status=400) from None


DELETE_ALL = {
    "hfj_history_tag": "DELETE FROM hfj_history_tag WHERE res_id = %(res_id)s",
    "hfj_res_ver": "DELETE FROM hfj_res_ver WHERE res_id = %(res_id)s",
    "hfj_res_tag": "DELETE FROM hfj_res_tag WHERE res_id = %(res_id)s",
    "hfj_resource": "DELETE FROM hfj_resource WHERE res_id = %(res_id)s",
}
