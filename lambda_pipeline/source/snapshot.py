"""Snapshot marks: the identity of a database snapshot, and the order between snapshots.

Snapshots of one server are totally ordered by what they see. `SnapshotMark.covered_by` decides that order exactly, from
`pg_current_snapshot()` alone: no clock and no lock. The timestamp in a mark is for people.

The argument: docs/guarantees.md, "Snapshots order everything". Coverage is decided in `speed/`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from lambda_pipeline.database import Connection, fetch_one, repeatable_read
from lambda_pipeline.errors import SourceBusyError, SourceError
from lambda_pipeline.source.identity import HapiSource, SourceIdentity, identify
from lambda_pipeline.source.relations import read_relations
from lambda_pipeline.source.table_lock import lock_tables, readable_tables

HORIZON = 2_000_000_000
"""Number of transactions after which the `xmin` of a row can no longer be compared with a mark.

PostgreSQL compares `xmin` modulo 2^32 as a signed number, so distances must stay below 2^31. This is below that by more
transactions than can be open at once."""


_UNRECORDED = "another version of lambda_pipeline, which did not record how it read HAPI's tables, was in use"


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """The identity of one snapshot of one database.

    Attributes:
        cluster: system identifier, timeline and database; marks of different clusters cannot be compared.
        xmin: every transaction below this number was over.
        xmax: no transaction from this number on was over.
        running: transactions in between that were still running, so that their rows were not seen.
        taken_at: the server's clock just before the snapshot: a lower bound of the moment it shows.
        identity: of HAPI's tables as they were read; None when the snapshot did not read them.
    """

    cluster: str
    xmin: int
    xmax: int
    running: frozenset[int]
    taken_at: datetime
    identity: SourceIdentity | None = None

    @classmethod
    def of(cls, cluster: str, snapshot: str, taken_at: datetime, identity: SourceIdentity | None = None) -> Self:
        """Build a mark from the text of `pg_current_snapshot()`: `xmin:xmax:running,...`."""
        xmin, xmax, running = snapshot.split(":")
        numbers = frozenset(map(int, filter(None, running.split(","))))
        return cls(cluster, int(xmin), int(xmax), numbers, taken_at, identity)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str(mark)`."""
        cluster, snapshot, taken_at, *rest = text.split(" ")
        identity = SourceIdentity.parse(rest[0]) if rest else None
        return cls.of(cluster, snapshot, datetime.fromisoformat(taken_at), identity)

    def __str__(self) -> str:
        running = ",".join(map(str, sorted(self.running)))
        identity = f" {self.identity}" if self.identity else ""
        return f"{self.cluster} {self.xmin}:{self.xmax}:{running} {self.taken_at.isoformat()}{identity}"

    def covered_by(self, other: "SnapshotMark") -> bool:
        """Whether `other` sees everything that this snapshot saw.

        True exactly when no transaction that was over here is in the future of `other`, or still running in it.
        """
        # Between the two snapshots a transaction may end that was running in the older one (`running`), or one that
        # began after it (`xmax`): either condition alone misses one of them.
        return (
            self.cluster == other.cluster
            and self.xmax <= other.xmax
            and all(transaction in self.running for transaction in other.running if transaction < self.xmax)
        )

    def find_break(self, now: "SnapshotMark") -> str:
        """Why the snapshot `now`, which reads HAPI's tables, cannot tell which rows this one did not see.

        Returns:
            A sentence; empty when it can.
        """
        if self.cluster != now.cluster:
            return "the database is another one"
        if now.xmax - self.xmin > HORIZON:
            return "too many transactions have passed"
        if now.identity is None:
            return ""
        return self.identity.difference(now.identity) if self.identity else _UNRECORDED

    def find_change(self, source: HapiSource) -> str:
        """Which setting, or which version of the reader, is another one than when this snapshot was read.

        Returns:
            A sentence; empty when nothing changed.
        """
        return self.identity.find_change(source) if self.identity else _UNRECORDED

    def reaches(self, now: "SnapshotMark") -> bool:
        """Whether the snapshot `now` can still tell which rows this one did not see."""
        return not self.find_break(now)

    def later(self, other: "SnapshotMark") -> "SnapshotMark":
        """The one of the two that sees more."""
        return other if self.covered_by(other) else self


@contextmanager
def marked_snapshot(
    connection: Connection, *, read_only: bool = True, source: HapiSource | None = None
) -> Iterator[SnapshotMark]:
    """Run the `with` block in a `REPEATABLE READ` transaction; gives the mark of its snapshot.

    Args:
        connection: not in a transaction.
        read_only: whether the transaction may not write.
        source: HAPI's tables, if the snapshot is to read them: then they are locked before it is taken.

    Raises:
        SourceError: the server is a standby, whose snapshots cannot be ordered this way, or HAPI's tables are not
            tables that can be read exactly.
        SourceBusyError: the shape of HAPI's tables is being changed, or their partitions were while they were read.
    """
    # Both read, and reading inside the transaction would take its snapshot before the tables are locked.
    tables = readable_tables(connection, source.schema) if source else []
    (taken_at,) = fetch_one(connection, "SELECT clock_timestamp()")
    with repeatable_read(connection, read_only=read_only):
        lock_tables(connection, tables)
        snapshot, system, wal_file, database = fetch_one(connection, _MARK)
        if wal_file is None:
            raise SourceError("HAPI's database is a standby", hint="point HAPI_DB_URL at the primary")
        relations = read_relations(connection, source.schema) if source else []
        identity = identify(connection, source, relations) if source else None
        yield SnapshotMark.of(f"{system}/{int(wal_file[:8], 16)}/{database}", snapshot, taken_at, identity)
        # A lock that readers take lets a partition be attached: its rows may then be in a part of what was read.
        if (
            source
            and any(each.kind == "p" for each in relations)
            and relations != read_relations(connection, source.schema)
        ):
            raise SourceBusyError("a partition of HAPI's tables was attached or detached meanwhile", hint="ask again")


# The name of a WAL file begins with the timeline that is being written. After a promotion, pg_control_checkpoint()
# shows the old timeline until the first checkpoint.
_MARK = """
SELECT pg_current_snapshot()::text,
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END,
       (SELECT oid FROM pg_database WHERE datname = current_database())
"""
