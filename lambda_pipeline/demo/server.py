"""A server that writes PostgreSQL the way HAPI FHIR JPA 8.8 does, as far as readers of its tables can tell."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from importlib import resources
from typing import Any

from psycopg import sql

from lambda_pipeline.database import Database
from lambda_pipeline.demo import bodies
from lambda_pipeline.demo.bulk import Progress, load
from lambda_pipeline.demo.bundles import process
from lambda_pipeline.demo.numbers import Numbers
from lambda_pipeline.demo.outcome import Outcome
from lambda_pipeline.demo.tags import Tag, TagType
from lambda_pipeline.demo.transaction import Transaction

Clock = Callable[[], datetime]

INSTALL_LOCK = 8_800_001
"""Advisory lock: two processes may find the database empty at the same moment."""


def system_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


class DemoHapi:
    """One application server over HAPI's tables; several of them may share a database.

    Each method is one transaction, stamped before it begins. `open_transaction` gives the same methods within one
    transaction that the caller commits, early or late.

    It does what readers of the tables can see: rows, versions, stamps, tags, bodies. It keeps no search index and
    checks no profile; references are checked only when their target is deleted.

    Args:
        database: where the tables are.
        clock: the application server's clock, any UTC-aware time; may be skewed or step back.
        zone: default zone of the server's JVM: stamps are stored as local time without zone.
        history: off as with `resource_dbhistory_enabled: false`: one version row per resource, changed in place.
        referential_integrity: refuse to delete what something refers to (HAPI's default).
        partition: PARTITION_ID of everything written.
    """

    def __init__(
        self, database: Database, *, clock: Clock = system_clock, zone: tzinfo = UTC, history: bool = True,
        referential_integrity: bool = True, partition: int | None = None,
    ) -> None:  # fmt: skip
        self.database = database
        self.clock = clock
        self.zone = zone
        self.history = history
        self.referential_integrity = referential_integrity
        self.partition = partition
        self.numbers = Numbers()
        self._types: dict[str, int] = {}
        self._tags: dict[int, Tag] = {}
        self._tag_ids: dict[Tag, int] = {}

    def install(self) -> None:
        """Make the tables where there are none; nothing where there are."""
        schema = (resources.files("lambda_pipeline.demo") / "schema.sql").read_text(encoding="utf-8")
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

    def now(self) -> datetime:
        """What the server's clock says, as it is stored: milliseconds, local to the server's zone, without zone."""
        return self.to_stored(self.clock())

    def to_stored(self, moment: datetime) -> datetime:
        """A UTC-aware moment as RES_UPDATED holds it."""
        if moment.tzinfo is None:
            raise ValueError("stamps are UTC-aware")
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        return local - timedelta(microseconds=local.microsecond % 1000)

    def type_id(self, resource_type: str) -> int | None:
        """RES_TYPE_ID, from HFJ_RESOURCE_TYPE."""
        if not self._types:
            with self.database.connect() as connection:
                self._types = dict(connection.execute("SELECT res_type, res_type_id FROM hfj_resource_type").fetchall())
        return self._types.get(resource_type)

    def tag(self, tag_id: int) -> Tag:
        """The tag of a TAG_ID."""
        if tag_id not in self._tags:
            self._read_tags()
        return self._tags[tag_id]

    def tag_id(self, tag: Tag) -> int:
        """TAG_ID of a tag; a new one is committed at once, as HAPI does, in a transaction of its own."""
        if tag not in self._tag_ids:
            self._read_tags()
        if tag not in self._tag_ids:
            with self.database.connect() as connection:
                (key,) = self.numbers.take(connection, "seq_tagdef_id")
                connection.execute(
                    "INSERT INTO hfj_tag_def (tag_id, tag_type, tag_system, tag_code, tag_version, tag_user_selected)"
                    " VALUES (%(key)s, %(type)s, %(system)s, %(code)s, %(version)s, %(selected)s)",
                    {
                        "key": key, "type": int(tag.type), "system": tag.system, "code": tag.code,
                        "version": tag.version, "selected": tag.user_selected,
                    },
                )  # fmt: skip
            self._tag_ids[tag], self._tags[key] = key, tag
        return self._tag_ids[tag]

    def _read_tags(self) -> None:
        with self.database.connect() as connection:
            rows = connection.execute(
                sql.SQL(
                    "SELECT tag_id, tag_type, tag_system, tag_code, tag_version, tag_user_selected FROM hfj_tag_def"
                )
            ).fetchall()
        self._tags = {key: Tag(TagType(kind), *rest) for key, kind, *rest in rows}
        self._tag_ids = {tag: key for key, tag in self._tags.items()}
