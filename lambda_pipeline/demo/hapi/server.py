"""The imitation as callers use it: an application server whose methods are requests, each in its own transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import resources
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.bulk import Progress, load
from lambda_pipeline.demo.hapi.bundles import process
from lambda_pipeline.demo.hapi.outcome import Outcome
from lambda_pipeline.demo.hapi.transaction import Transaction

INSTALL_LOCK = 8_800_001
"""Advisory lock, because two processes may find the database empty at the same time."""


class DemoHapi(ApplicationServer):
    """An application server that writes HAPI's tables as HAPI FHIR JPA 8.8 does.

    Each request is one transaction; its timestamp is taken before the transaction begins. `open_transaction` gives the
    same requests, and more, within one transaction that the caller commits.

    The imitation covers what readers of the tables see: rows, versions, timestamps, tags and bodies. It keeps no search
    index, validates no profile, and checks references only when their target is deleted.
    """

    def install(self) -> None:
        """Create the tables if they do not exist."""
        schema = (resources.files("lambda_pipeline.demo.hapi") / "schema.sql").read_text(encoding="utf-8")
        with self.database.connect() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": INSTALL_LOCK})
            if not self.installed():
                connection.execute(schema)

    def installed(self) -> bool:
        """Whether HAPI's tables exist."""
        with self.database.connect() as connection:
            row = connection.execute("SELECT to_regclass('hfj_resource') IS NOT NULL").fetchone()
        return bool(row and row[0])

    def open_transaction(self, stamp: datetime | None = None, *, bundle: bool = False) -> Transaction:
        """Begin a transaction on a connection of its own; it ends with its `with` block, `commit` or `rollback`.

        Args:
            stamp: RES_UPDATED of the written rows, UTC-aware; the server's current time by default.
            bundle: whether this is the transaction of a FHIR bundle (see `Transaction`).
        """
        return Transaction(self, stamp=stamp, bundle=bundle)

    def create(self, resource: bodies.Resource) -> str:
        """See `Transaction.create`."""
        with self.open_transaction() as transaction:
            return transaction.create(resource)

    def post(self, resource: bodies.Resource, *, if_none_exist: str | None = None) -> Outcome:
        """See `Transaction.post`."""
        with self.open_transaction() as transaction:
            return transaction.post(resource, if_none_exist=if_none_exist)

    def update(self, resource: bodies.Resource) -> Outcome:
        """See `Transaction.update`."""
        with self.open_transaction() as transaction:
            return transaction.update(resource)

    def patch(self, resource_type: str, logical_id: str, operations: Iterable[Mapping[str, Any]]) -> Outcome:
        """See `Transaction.patch`."""
        with self.open_transaction() as transaction:
            return transaction.patch(resource_type, logical_id, operations)

    def delete(self, resource_type: str, logical_id: str) -> Outcome:
        """See `Transaction.delete`.

        Raises:
            RequestRefusedError: 409, another resource refers to it.
        """
        with self.open_transaction() as transaction:
            return transaction.delete(resource_type, logical_id)

    def meta_add(self, resource_type: str, logical_id: str, meta: Mapping[str, Any]) -> Outcome:
        """See `Transaction.meta_add`."""
        with self.open_transaction() as transaction:
            return transaction.meta_add(resource_type, logical_id, meta)

    def meta_delete(self, resource_type: str, logical_id: str, meta: Mapping[str, Any]) -> Outcome:
        """See `Transaction.meta_delete`."""
        with self.open_transaction() as transaction:
            return transaction.meta_delete(resource_type, logical_id, meta)

    def expunge(self, resource_type: str, logical_id: str) -> None:
        """See `Transaction.expunge`."""
        with self.open_transaction() as transaction:
            transaction.expunge(resource_type, logical_id)

    def transaction(self, bundle: bodies.Resource) -> list[Outcome]:
        """Process a bundle of type transaction or batch; see `bundles.process`."""
        return process(self, bundle)

    def load(self, loaded: Iterable[bodies.Resource | str], *, progress: Progress | None = None) -> int:
        """Store many resources quickly; see `bulk.load`."""
        return load(self, loaded, progress=progress)
