"""A poll: what changed in HAPI since the last one, flattened, and published in Redis at once.

One database snapshot decides what a poll sees. It becomes the overlay's mark in the same step in which the entries
become visible. A crash before that step loses work and nothing else; a poll that finds the overlay damaged makes it
again from the published generation.

What a poll builds upon belongs in `poll_plan`, what it reads in `pending_changes`, entries in `flatten_changes`, Redis
in `overlay`. The argument: docs/guarantees.md, "A poll sees whole transactions" and "A poll becomes visible at once".
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.database import Connection, Database, reason
from lambda_pipeline.errors import CaptureError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import Change, HapiSource, SnapshotMark, marked_snapshot, open_tables
from lambda_pipeline.source.inventory import Digest
from lambda_pipeline.source.wal import log_position, make_durable
from lambda_pipeline.speed.coverage import GapReason
from lambda_pipeline.speed.entry import Entry
from lambda_pipeline.speed.flatten_changes import flatten_changes
from lambda_pipeline.speed.lookback import LookbackPoint, add_lookback_point, next_transaction
from lambda_pipeline.speed.overlay import Overlay, OverlayStatus
from lambda_pipeline.speed.pending_changes import PollRead
from lambda_pipeline.speed.poll_plan import PollPlan, lookback_bound, plan_poll, views_to_capture
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View

logger = logging.getLogger(__name__)

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll did.

    Attributes:
        captured: entries published, by resource type.
        deleted: how many of them are deletes.
        unreadable: how many of them have no rows because the resource cannot be read.
        late: how many of them a poll by HAPI's timestamps alone would have missed.
        pruned: entries that were removed because a generation covers them.
        previous: mark of the poll before it; None when there was no overlay.
        mark: the snapshot; None when there was nothing to do.
        state: of the overlay after the poll; None when there is none.
        seconds: how long it took.
        rebuilt: why the overlay was made again; empty when it was not.
        waiting: why nothing could be done; empty when it could.
        over_budget: the overlay may not grow any more: a refresh is needed now.
    """

    captured: Mapping[str, int]
    deleted: int = 0
    unreadable: int = 0
    late: int = 0
    pruned: int = 0
    previous: SnapshotMark | None = None
    mark: SnapshotMark | None = None
    state: OverlayState | None = None
    seconds: float = 0.0
    rebuilt: str = ""
    waiting: str = ""
    over_budget: bool = False

    @property
    def count(self) -> int:
        """Entries published."""
        return sum(self.captured.values())

    @property
    def entries(self) -> int:
        """Entries in the overlay after the poll."""
        return self.state.entry_count if self.state else 0


class Poller:
    """Makes polls.

    Args:
        database: HAPI's database, which holds the published generation too.
        overlay: receives what is captured.
        views: the views of this deployment; rows are captured for these and for the published definitions.
        settings: intervals, budgets, pages.
    """

    def __init__(self, database: Database, overlay: Overlay, views: Sequence[View], settings: Settings) -> None:
        self.database = database
        self.overlay = overlay
        self.views = tuple(views)
        self.settings = settings

    def poll(self, *, rebuild: bool = False) -> Poll:
        """Make one poll, which captures everything that its snapshot sees.

        Args:
            rebuild: make the overlay again from the published generation, whatever it holds.

        Raises:
            CaptureError: the poll failed; the overlay and its mark are what they were.
            SourceBusyError: the shape of HAPI's tables is being changed; the same holds.
            HapiUnavailableError, RedisUnavailableError: a server cannot be reached; the same holds.
        """
        began = time.monotonic()
        for _ in range(_ATTEMPTS):
            try:
                poll = self._attempt(rebuild=rebuild)
            except psycopg.Error as error:
                raise CaptureError(f"the poll failed: {reason(error)}", hint="the next one repeats it") from None
            if poll is not None:
                return replace(poll, seconds=time.monotonic() - began)
        raise CaptureError("another poller kept publishing first", hint="run one poller for each Redis prefix")

    def _attempt(self, *, rebuild: bool) -> Poll | None:
        """One poll, or None when the overlay changed meanwhile."""
        # The overlay comes first: a poll published after this is newer than the snapshot that follows, and is noticed.
        status = self.overlay.read_status()
        with self.database.connect() as connection:
            with marked_snapshot(connection, source=HapiSource.of(self.settings)) as mark:
                position = log_position(connection)
                generation = published(connection)
                waiting = _reason_to_wait(generation, mark)
                if generation is None or waiting:
                    return Poll({}, waiting=waiting)
                read = self._open_read(connection, status, generation, mark, rebuild=rebuild)
                changes, digest = read.find_changes(self.overlay)
                if self._exceeds_budget(read.plan, changes):
                    return self._make_room(read.plan, generation, mark)
                entries = flatten_changes(connection, read.tables, read.views, changes, self.settings.poll_page_rows)
                point = next_transaction(connection, mark)
            # Before the mark is published it must be true for ever, also after a crash of PostgreSQL.
            make_durable(connection, position)
        return self._publish(read, status, _Captured(entries, digest, point))

    def _open_read(
        self,
        connection: Connection,
        status: OverlayStatus,
        generation: Generation,
        mark: SnapshotMark,
        *,
        rebuild: bool,
    ) -> PollRead:
        views = views_to_capture(generation, self.views)
        plan = plan_poll(connection, self.settings, status, generation, mark, views, rebuild=rebuild)
        types = {view.resource for view in views.values()}
        tables = open_tables(connection, HapiSource.of(self.settings), types)
        return PollRead(connection, tables, generation, mark, views, plan)

    def _exceeds_budget(self, plan: PollPlan, changes: Sequence[Change]) -> bool:
        held = plan.state.entry_count if plan.state else 0
        return bool(changes) and held + len(changes) > self.settings.overlay_max_entries

    def _make_room(self, plan: PollPlan, generation: Generation, mark: SnapshotMark) -> Poll | None:
        """Prune what a generation covers; None if that removed something: then the poll is repeated."""
        state = plan.state
        unpruned = state is not None and state.pruned_for != generation.number
        if unpruned and self.overlay.prune(generation.number, generation.mark).forgotten:
            return None
        return Poll({}, previous=state.mark if state else None, mark=mark, state=state, over_budget=True)

    def _publish(self, read: PollRead, status: OverlayStatus, captured: "_Captured") -> Poll | None:
        state = self.overlay.publish(
            _next_state(read, status, captured), status, captured.entries, rebuild=read.plan.rebuild is not None
        )
        if state is None:
            return None
        pruned = 0
        if state.pruned_for != read.generation.number:
            done = self.overlay.prune(read.generation.number, read.generation.mark)
            pruned, state = done.forgotten, done.state or state
        return self._describe(read, status, captured.entries, pruned, state)

    def _describe(
        self, read: PollRead, status: OverlayStatus, entries: Sequence[Entry], pruned: int, state: OverlayState
    ) -> Poll:
        rebuild = read.plan.rebuild
        covered = rebuild is not None and rebuild.reason is GapReason.COVERED
        rebuilt = "" if rebuild is None or covered else str(rebuild)
        if rebuilt:
            logger.info("overlay rebuilt (%s): %d entries", rebuilt, len(entries))
        before = status.state
        return Poll(
            captured=dict(sorted(Counter(entry.change.key.type for entry in entries).items())),
            deleted=sum(entry.change.deleted for entry in entries),
            unreadable=sum(bool(entry.unreadable) for entry in entries),
            late=self._count_late(read.plan, entries),
            # An overlay that is covered as a whole is made again with no more than what is new.
            pruned=(before.entry_count if before else 0) if covered else pruned,
            previous=before.mark if before else None,
            mark=read.mark,
            state=state,
            rebuilt=rebuilt,
            # Memory is measured by many commands, so only where it can have grown.
            over_budget=bool(entries) and self.overlay.size_bytes(state) > self.settings.overlay_max_bytes,
        )

    def _count_late(self, plan: PollPlan, entries: Sequence[Entry]) -> int:
        if plan.state is None or not plan.exact:
            return 0
        bound = lookback_bound(plan.state, self.settings)
        return sum(entry.change.last_updated < bound for entry in entries) if bound else 0


@dataclass(frozen=True, slots=True)
class _Captured:
    """What a poll takes out of its snapshot.

    Attributes:
        entries: what it captured.
        digest: of HAPI's tables.
        next_transaction: the number that the server would have given out next.
    """

    entries: Sequence[Entry]
    digest: Digest
    next_transaction: int


def _next_state(read: PollRead, status: OverlayStatus, captured: _Captured) -> OverlayState:
    """The state that goes with what a poll captured; the scripts add the counts."""
    before, found, mark = read.plan.state, status.state, read.mark
    timestamps = [entry.change.last_updated for entry in captured.entries]
    # The server's clock is the cap: a timestamp from the future must not make later polls blind.
    newest = min(max(timestamps), mark.taken_at) if timestamps else (before.watermark if before else mark.taken_at)
    watermark = max(newest, before.watermark) if before else newest
    # What is known of transaction numbers stays true when the entries are lost.
    points = found.lookback_points if found and found.mark.covered_by(mark) else ()
    point = LookbackPoint(captured.next_transaction, min(watermark, mark.taken_at))
    return OverlayState(
        epoch=before.epoch if before else f"{mark.taken_at.timestamp():.6f}",
        # Never a number from before a loss: a poller that was stopped during the loss must not find its own again.
        revision=(int(status.revision) if status.revision.isdecimal() else time.time_ns()) + 1,
        seq=(before.seq if before else 0) + 1,
        mark=mark,
        complete_since=read.plan.complete_since,
        exact_mark=mark if read.plan.exact or before is None else before.exact_mark,
        watermark=watermark,
        lookback_points=add_lookback_point(points, point, mark),
        compared_with=read.generation.number,
        digest=captured.digest,
        views={name: view.resource for name, view in read.views.items()},
        entries={},
        run_id=status.run_id,
        pruned_for=before.pruned_for if before else read.generation.number,
    )


def _reason_to_wait(generation: Generation | None, mark: SnapshotMark) -> str:
    """Why nothing can be captured before a refresh; empty when it can."""
    if generation is None:
        return "no generation is published yet: run a refresh first"
    broken = generation.mark.find_break(mark)
    return f"{broken}: run a refresh first, which will be a full one" if broken else ""
