"""The server of the model: each request goes to the demo server and, by its own rule, to the oracle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lambda_pipeline.database import Database, fetch_one
from lambda_pipeline.demo.hapi.bodies import stored_text
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hapi.transaction import Transaction
from lambda_pipeline_tests.hapi.unusual_rows import lose_version, rewrite_history, write_raw
from lambda_pipeline_tests.model.oracle import Body, Key, Resource, Server

SKEWS = {"fast": timedelta(minutes=10), "slow": timedelta(minutes=-10)}


class LockedError(Exception):
    """Another open transaction has changed the resource: the request would wait for it for ever."""


class Open:
    """A transaction, and what it will leave once it commits."""

    def __init__(self, hapi: "Hapi", transaction: Transaction) -> None:
        self.hapi = hapi
        self.transaction = transaction
        self.pending: dict[Key, Resource | None] = {}

    def known(self, kind: str, logical_id: str) -> Resource | None:
        """A resource as this transaction sees it."""
        key = (kind, logical_id)
        if any(key in other.pending for other in self.hapi.open.values() if other is not self):
            raise LockedError
        return self.pending[key] if key in self.pending else self.hapi.server.now.get(key)

    def living(self, kind: str, logical_id: str) -> Resource | None:
        """The same when there is one and it is not deleted."""
        resource = self.known(kind, logical_id)
        return None if resource is None or resource.deleted else resource

    def put(self, kind: str, logical_id: str, body: Body, tags: frozenset[tuple[str, str]] = frozenset()) -> None:
        before = self.known(kind, logical_id)
        meta = {"tag": [{"system": "s", "code": code} for _, code in sorted(tags)]} if tags else {}
        outcome = self.transaction.update({**body, "id": logical_id, **({"meta": meta} if meta else {})})
        assert outcome.version is not None
        if before is None:
            after = Resource(outcome.version, False, body, {outcome.version: body}, tags)
        elif not before.deleted and before.sent == body and tags <= before.tags:
            return
        else:
            after = before.with_version(
                outcome.version, body, history=self.hapi.demo.history, deleted=False, sent=body, tags=before.tags | tags
            )
        self.pending[kind, logical_id] = after

    def delete(self, kind: str, logical_id: str) -> None:
        before = self.living(kind, logical_id)
        if before is not None:
            outcome = self.transaction.delete(kind, logical_id)
            assert outcome.version is not None
            self.pending[kind, logical_id] = before.with_version(
                outcome.version, None, history=self.hapi.demo.history, deleted=True, sent=None
            )

    def raw(self, kind: str, logical_id: str, text: str | None, body: Body, **more: Any) -> None:
        before = self.living(kind, logical_id)
        if before is not None:
            outcome = write_raw(self.transaction, kind, logical_id, text, **more)
            assert outcome.version is not None
            self.pending[kind, logical_id] = before.with_version(
                outcome.version, body, history=self.hapi.demo.history, sent=None
            )

    def lose_version(self, kind: str, logical_id: str) -> None:
        """The row of a version that this transaction wrote is not there, as old servers left it."""
        before = self.known(kind, logical_id)
        if before is not None and (kind, logical_id) in self.pending and before.version in before.versions:
            lose_version(self.transaction, kind, logical_id)
            kept = {version: body for version, body in before.versions.items() if version != before.version}
            self.pending[kind, logical_id] = replace(before, versions=kept)

    def rewrite(self, kind: str, logical_id: str, back: int, body: Body) -> None:
        before = self.living(kind, logical_id)
        if before is None or before.version not in before.versions:
            return
        if (version := before.version - back) in before.versions:
            rewrite_history(self.transaction, {**body, "id": logical_id}, version)
            self.pending[kind, logical_id] = replace(
                before,
                versions={**before.versions, version: body},
                sent=body if version == before.version else before.sent,
            )

    def expunge(self, kind: str, logical_id: str) -> None:
        before = self.known(kind, logical_id)
        if before is None or not (before.deleted or before.version in before.versions):
            return
        self.transaction.expunge(kind, logical_id)
        if before.deleted:
            self.pending[kind, logical_id] = None
        else:
            kept = {version: body for version, body in before.versions.items() if version >= before.version}
            self.pending[kind, logical_id] = replace(before, versions=kept)

    def tag(self, kind: str, logical_id: str, code: str, *, add: bool) -> None:
        before = self.living(kind, logical_id)
        if before is None:
            return
        meta = {"tag": [{"system": "s", "code": code}]}
        if add:
            self.transaction.meta_add(kind, logical_id, meta)
            tags = before.tags | {("tag", code)}
        else:
            self.transaction.meta_delete(kind, logical_id, meta)
            tags = before.tags - {("tag", code)}
        self.pending[kind, logical_id] = replace(before, tags=tags)


class Hapi:
    """HAPI as the model drives it.

    Args:
        database: where its tables are; they are made when missing.
    """

    def __init__(self, database: Database) -> None:
        self.demo = DemoHapi(database, referential_integrity=False)
        self.demo.install()
        self.server = Server()
        self.open: dict[str, Open] = {}

    def reset(self) -> None:
        """Forget everything; the tables are emptied by whoever owns them."""
        for slot in list(self.open):
            self.rollback(slot)
        self.server = Server()
        self.demo.history = True

    def begin(self, slot: str, age: timedelta) -> None:
        """Open a transaction stamped so long ago."""
        if slot not in self.open:
            self.open[slot] = Open(self, self.demo.open_transaction(datetime.now(UTC) - age))

    def commit(self, slot: str) -> None:
        """Commit it, if it is open."""
        if (opened := self.open.pop(slot, None)) is not None:
            self._end(opened)

    def rollback(self, slot: str) -> None:
        """Undo it, if it is open."""
        if (opened := self.open.pop(slot, None)) is not None:
            opened.transaction.rollback()

    @contextmanager
    def at(self, place: str) -> Iterator[Open]:
        """Where requests go: see `steps.PLACES`."""
        if place in self.open:
            yield self.open[place]
            return
        opened = Open(self, self.demo.open_transaction(datetime.now(UTC) + SKEWS.get(place, timedelta())))
        try:
            yield opened
        except BaseException:
            opened.transaction.rollback()
            raise
        self._end(opened)

    def copy_versions(self, kind: str, logical_id: str, body: Body) -> bool:
        """Fill a copy of the table of version rows, in which one resource has another body, and commit it.

        Returns:
            Whether there is such a resource with a row of its current version.
        """
        before = self.server.now.get((kind, logical_id))
        if before is None or before.deleted or before.version not in before.versions:
            return False
        with self.demo.database.connect() as connection, connection.transaction():
            connection.execute("DROP TABLE IF EXISTS copied")
            connection.execute("CREATE TABLE copied (LIKE hfj_res_ver INCLUDING ALL)")
            connection.execute("INSERT INTO copied SELECT * FROM hfj_res_ver")
            connection.execute(
                "UPDATE copied SET res_text_vc = %(text)s, res_encoding = 'JSON' FROM hfj_resource r"
                " WHERE r.res_id = copied.res_id AND r.res_ver = copied.res_ver"
                " AND r.res_type = %(kind)s AND r.fhir_id = %(id)s",
                {"text": stored_text({**body, "id": logical_id}), "kind": kind, "id": logical_id},
            )
        return True

    def swap_versions(self, kind: str, logical_id: str, body: Body) -> None:
        """Put the copy in the place of the table."""
        before = self.server.now[kind, logical_id]
        with self.demo.database.connect() as connection, connection.transaction():
            (xid,) = fetch_one(connection, "SELECT pg_current_xact_id()::text")
            connection.execute("DROP TABLE hfj_res_ver CASCADE")
            connection.execute("ALTER TABLE copied RENAME TO hfj_res_ver")
        after = replace(before, versions={**before.versions, before.version: body})
        self.server.commit(int(xid), {(kind, logical_id): after})

    def _end(self, opened: Open) -> None:
        (xid,) = opened.transaction.connection.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        opened.transaction.commit()
        self.server.commit(None if xid is None else int(xid), opened.pending)
