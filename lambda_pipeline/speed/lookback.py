"""How far back a ranged poll must read: what HAPI's stamps of changes that the last poll did not see cannot be below.

HAPI stamps, then writes, then commits. A poll remembers which transaction number was the next to be given out, and the
time: a transaction with that number or a later one had not written by then. So of those that a mark has not seen the
end of, none wrote before the last such moment whose number is not above the mark's `xmin`, however long they stay open
and in whichever order they end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lambda_pipeline.database import Connection
from lambda_pipeline.source import SnapshotMark

_MOST = 64


@dataclass(frozen=True, slots=True)
class LookbackPoint:
    """Transactions numbered `number` or higher had written nothing when clock and newest stamp were at `stamp`."""

    number: int
    stamp: datetime


def next_transaction(connection: Connection, mark: SnapshotMark) -> int:
    """The number that the server gives out next, read in the transaction of `mark`; takes none.

    It is at or above `mark.xmax`, which is one past the highest number that is over.
    """
    row = connection.execute("SELECT age(%(xmax)s::text::xid8::xid)", {"xmax": str(mark.xmax)}).fetchone()
    assert row is not None
    return mark.xmax + int(row[0])


def oldest_possible_update(floors: Sequence[LookbackPoint], mark: SnapshotMark) -> datetime | None:
    """Below which nothing can be stamped that `mark` has not seen, but for what lies between a stamp and its writing.

    None when a transaction is open that was there before the first of these polls.
    """
    known = [floor.stamp for floor in floors if floor.number <= mark.xmin]
    return known[-1] if known else None


def add_lookback_point(
    floors: Sequence[LookbackPoint], floor: LookbackPoint, mark: SnapshotMark
) -> tuple[LookbackPoint, ...]:
    """These floors and one more, taken with `mark`, less those that no later mark can ask for.

    A long transaction makes them many; then some in between are forgotten, which lowers the floor of later ones.
    """
    kept = [*(known for known in floors if known.number < floor.number), floor]
    asked = [index for index, known in enumerate(kept) if known.number <= mark.xmin]
    kept = kept[asked[-1] :] if asked else kept
    return tuple(kept if len(kept) <= _MOST else [*kept[:-1:2], kept[-1]])
