"""Marks: database snapshots, and the order between them.

Snapshots of one server are totally ordered by what they see. `SnapshotMark.covered_by` decides that order exactly, from
`pg_current_snapshot()` alone: no clock, no lock. Timestamps here are for people.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from lambda_pipeline.database import Connection, repeatable_read
from lambda_pipeline.errors import SourceError
from lambda_pipeline.source.table_lock import lock_tables, readable_tables

HORIZON = 2_000_000_000
"""Transactions after which the `xmin` of a row tells nothing about a mark.

It is compared modulo 2^32 as a signed number; this is below 2^31 by more than can be open at once."""


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """One snapshot of one database.

    Attributes:
        cluster: system identifier, timeline and database: marks of different clusters cannot be compared.
        xmin: every transaction below was over.
        xmax: no transaction from here on had begun.
        running: those in between that were still running, so that their rows were not seen.
        taken_at: the server's clock just before the snapshot: a lower bound of the moment it shows.
    """

    cluster: str
    xmin: int
    xmax: int
    running: frozenset[int]
    taken_at: datetime

    @classmethod
    def of(cls, cluster: str, snapshot: str, taken_at: datetime) -> Self:
        """From the text of `pg_current_snapshot()`: `xmin:xmax:running,...`."""
        xmin, xmax, running = snapshot.split(":")
        return cls(cluster, int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))), taken_at)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str(mark)`."""
        cluster, snapshot, taken_at = text.split(" ")
        return cls.of(cluster, snapshot, datetime.fromisoformat(taken_at))

    def __str__(self) -> str:
        running = ",".join(map(str, sorted(self.running)))
        return f"{self.cluster} {self.xmin}:{self.xmax}:{running} {self.taken_at.isoformat()}"

    def covered_by(self, other: "SnapshotMark") -> bool:
        """Whether `other` sees everything that this snapshot saw.

        True exactly when no transaction that was over here is in the future of `other`, or still running in it.
        """
        return (
            self.cluster == other.cluster
            and self.xmax <= other.xmax
            and all(transaction in self.running for transaction in other.running if transaction < self.xmax)
        )

    def reaches(self, now: "SnapshotMark") -> bool:
        """Whether rows can still be asked, in the snapshot `now`, if this one had seen them: see `HORIZON`."""
        return self.cluster == now.cluster and now.xmax - self.xmin <= HORIZON

    def later(self, other: "SnapshotMark") -> "SnapshotMark":
        """Whichever of the two sees more."""
        return other if self.covered_by(other) else self


@contextmanager
def marked_snapshot(
    connection: Connection, *, read_only: bool = True, hapi_schema: str | None = None
) -> Iterator[SnapshotMark]:
    """A `REPEATABLE READ` transaction and the mark of its snapshot.

    Args:
        connection: not in a transaction.
        read_only: whether nothing may be written in it.
        hapi_schema: schema of HAPI's tables, if the snapshot is to read them: they are held from before it is taken.

    Raises:
        SourceError: the server is a standby, whose snapshots cannot be ordered this way.
        SourceBusyError: the shape of HAPI's tables is being changed.
    """
    held = readable_tables(connection, hapi_schema) if hapi_schema is not None else []
    clock = connection.execute("SELECT clock_timestamp()").fetchone()
    assert clock is not None
    with repeatable_read(connection, read_only=read_only):
        lock_tables(connection, held)
        row = connection.execute(_MARK).fetchone()
        assert row is not None
        snapshot, system, wal_file, database = row
        if wal_file is None:
            raise SourceError("HAPI's database is a standby", hint="point HAPI_DB_URL at the primary")
        yield SnapshotMark.of(f"{system}/{int(wal_file[:8], 16)}/{database}", snapshot, clock[0])


# The name of a WAL file begins with the timeline that is written to. pg_control_checkpoint() shows the one before a
# promotion until the first checkpoint after it.
_MARK = """
SELECT pg_current_snapshot()::text,
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END,
       (SELECT oid FROM pg_database WHERE datname = current_database())
"""
