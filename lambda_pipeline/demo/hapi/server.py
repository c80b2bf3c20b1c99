"""A server that writes PostgreSQL the way HAPI FHIR JPA 8.8 does, as far as readers of its tables can tell."""

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
"""Advisory lock: two processes may find the database empty at the same moment."""


class DemoHapi(ApplicationServer):
    """An application server that answers requests.

    Each method is one transaction, stamped before it begins. `open_transaction` gives the same methods within one
    transaction that the caller commits, early or late.

    It does what readers of the tables can see: rows, versions, stamps, tags, bodies. It keeps no search index and
    checks no profile; references are checked only when their target is deleted.
    """

    def install(self) -> None:
        """Make the tables where there are none; nothing where there are."""
        schema = (resources.files("lambda_pipeline.demo.hapi") / "schema.sql").read_text(encoding="utf-8")
        with self.database.connect() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": INSTALL_LOCK})
            if not self.installed():
                connection.execute(schema)

    def installed(self) -> bool:
        """Whether HAPI's tables are there."""
        with self.database.connect() as connection:
            row = connection.execute("SELECT to_regclass('hfj_resource') IS NOT NULL").fetchone()
        return bool(row and row[0])

    def open_transaction(self, stamp: datetime | None = None, *, bundle: bool = False) -> Transaction:
        """Begin a transaction on a connection of its own; it ends with its `with` block, or by `commit`/`rollback`.

        Args:
            stamp: RES_UPDATED of what it writes, UTC-aware; the server's clock now by default.
            bundle: as the transaction of a FHIR bundle (see `Transaction`).
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
            RequestRefusedError: 409, something refers to it.
        """
        with self.open_transaction() as transaction:
            return transaction.delete(resource_type, logical_id)

    def delete_matching(self, resource_type: str, criteria: str) -> list[Outcome]:
        """See `Transaction.delete_matching`; nothing is deleted when one of them may not be."""
        with self.open_transaction() as transaction:
            return transaction.delete_matching(resource_type, criteria)

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

    def expunge_previous_versions(self, resource_type: str, logical_id: str) -> None:
        """See `Transaction.expunge_previous_versions`."""
        with self.open_transaction() as transaction:
            transaction.expunge_previous_versions(resource_type, logical_id)

    def write_raw(
        self, resource_type: str, logical_id: str, text: str | None, *, encoding: str = "JSON",
        large_object: bytes | None = None,
    ) -> Outcome:  # fmt: skip
        """See `Transaction.write_raw`."""
        with self.open_transaction() as transaction:
            return transaction.write_raw(resource_type, logical_id, text, encoding=encoding, large_object=large_object)

    def rewrite_history(self, resource: bodies.Resource, version: int) -> None:
        """See `Transaction.rewrite_history`."""
        with self.open_transaction() as transaction:
            transaction.rewrite_history(resource, version)

    def transaction(self, bundle: bodies.Resource) -> list[Outcome]:
        """Process a bundle of type transaction or batch; see `bundles.process`."""
        return process(self, bundle)

    def load(self, loaded: Iterable[bodies.Resource | str], *, progress: Progress | None = None) -> int:
        """Store many resources quickly; see `bulk.load`."""
        return load(self, loaded, progress=progress)
