"""Lower bound of HAPI's timestamps for a ranged poll: no change that the last poll missed can carry an older one.

HAPI takes the timestamp, then writes, then commits. A poll remembers which transaction number came next, and the time:
a transaction with that number or a higher one had written nothing by then. So of the transactions that a mark saw
running or did not see, none wrote before the last such moment whose number is not above the mark's `xmin`, however long
they stay open and in whichever order they end. The argument: docs/guarantees.md, "A poll sees whole transactions".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lambda_pipeline.database import Connection
from lambda_pipeline.source import SnapshotMark

_MOST = 64


@dataclass(frozen=True, slots=True)
class LookbackPoint:
    """Transactions numbered `number` or higher had written nothing at `moment`.

    Attributes:
        number: the transaction number that the server would give out next.
        moment: the earlier of the server's clock and the newest of HAPI's timestamps.
    """

    number: int
    moment: datetime


def next_transaction(connection: Connection, mark: SnapshotMark) -> int:
    """The number that the server gives out next, read in the transaction of `mark`; it uses up none.

    It is at or above `mark.xmax`, which is one past the highest number that is over.
    """
    row = connection.execute("SELECT age(%(xmax)s::text::xid8::xid)", {"xmax": str(mark.xmax)}).fetchone()
    assert row is not None
    return mark.xmax + int(row[0])


def oldest_possible_update(points: Sequence[LookbackPoint], mark: SnapshotMark) -> datetime | None:
    """The oldest timestamp that a change can carry which `mark` has not seen, apart from the overlap.

    The overlap (`poll_overlap_s`) covers the time between taking the timestamp and writing, and skewed clocks.

    Returns:
        None when a transaction is open that began before the first of these points: then only an exact poll will do.
    """
    known = [point.moment for point in points if point.number <= mark.xmin]
    return known[-1] if known else None


def add_lookback_point(
    points: Sequence[LookbackPoint], point: LookbackPoint, mark: SnapshotMark
) -> tuple[LookbackPoint, ...]:
    """These points and one more, taken with `mark`, without those that no later mark can ask for.

    A long transaction makes them many. Then some in between are dropped, which makes later polls read further back.
    """
    kept = [*(known for known in points if known.number < point.number), point]
    usable = [index for index, known in enumerate(kept) if known.number <= mark.xmin]
    # The marks of later polls have no lower xmin, so only the newest usable point can be asked for again.
    kept = kept[usable[-1] :] if usable else kept
    return tuple(kept if len(kept) <= _MOST else [*kept[:-1:2], kept[-1]])
