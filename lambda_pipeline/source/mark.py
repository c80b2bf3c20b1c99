"""Marks: database snapshots, and the order between them.

Snapshots of one server are totally ordered by what they see. `Mark.covered_by` decides that order exactly, from
`pg_current_snapshot()` alone: no clock, no lock. Timestamps here are for people.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from lambda_pipeline.database import Connection, repeatable_read
from lambda_pipeline.errors import SourceError


@dataclass(frozen=True, slots=True)
class Mark:
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

    def covered_by(self, other: "Mark") -> bool:
        """Whether `other` sees everything that this snapshot saw.

        True exactly when no transaction that was over here is in the future of `other`, or still running in it.
        """
        return (
            self.cluster == other.cluster
            and self.xmax <= other.xmax
            and all(transaction in self.running for transaction in other.running if transaction < self.xmax)
        )

    def later(self, other: "Mark") -> "Mark":
        """Whichever of the two sees more."""
        return other if self.covered_by(other) else self


@contextmanager
def marked_snapshot(connection: Connection, *, read_only: bool = True) -> Iterator[Mark]:
    """A `REPEATABLE READ` transaction and the mark of its snapshot.

    Raises:
        SourceError: the server is a standby, whose snapshots cannot be ordered this way.
    """
    clock = connection.execute("SELECT clock_timestamp()").fetchone()
    assert clock is not None
    with repeatable_read(connection, read_only=read_only):
        row = connection.execute(_MARK).fetchone()
        assert row is not None
        snapshot, system, timeline, database, standby = row
        if standby:
            raise SourceError("HAPI's database is a standby", hint="point HAPI_DB_URL at the primary")
        yield Mark.of(f"{system}/{timeline}/{database}", snapshot, clock[0])


_MARK = """
SELECT pg_current_snapshot()::text,
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()),
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       pg_is_in_recovery()
"""
