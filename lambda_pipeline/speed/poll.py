"""A poll: what changed in HAPI since the last one, flattened, and published in Redis at once.

One database snapshot decides what a poll sees. It becomes the overlay's mark in the same step in which its entries
become visible; a crash before that step loses nothing but work, and a poll that finds the overlay damaged makes it anew
from the published generation.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.database import Connection, Database, reason
from lambda_pipeline.errors import CaptureError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import (
    Change,
    HapiTables,
    ResourceKey,
    ResourceRange,
    ResourceRelation,
    SnapshotMark,
    Unreadable,
    by_key,
    changes_since,
    flatten,
    marked_snapshot,
    open_tables,
)
from lambda_pipeline.source.inventory import Digest, take_digest
from lambda_pipeline.source.wal import log_position, make_durable
from lambda_pipeline.speed.entry import Entry, in_pages, rows_as_text
from lambda_pipeline.speed.lookback import LookbackPoint, add_lookback_point, next_transaction
from lambda_pipeline.speed.overlay import Overlay, OverlayStatus
from lambda_pipeline.speed.pending_changes import changes_since_generation, untracked_changes
from lambda_pipeline.speed.poll_plan import ALL_COVERED, PollPlan, lookback_bound, plan_poll, wanted
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_VERSION_SCAN_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll did.

    Attributes:
        captured: entries published, by resource type.
        deleted: how many of them are deletes.
        unreadable: resources of them that have no rows because they cannot be read.
        late: of them, how many a poll by HAPI's stamps alone would have missed.
        entries: entries in the overlay now.
        pruned: entries forgotten because a generation covers them.
        mark: the snapshot; None when there was nothing to do.
        seconds: how long it took.
        rebuilt: why the overlay was made anew; empty when it was not.
        waiting: why nothing could be done; empty when it could.
        over_budget: the overlay may not grow any more: a refresh is needed now.
    """

    captured: Mapping[str, int]
    deleted: int = 0
    unreadable: int = 0
    late: int = 0
    entries: int = 0
    pruned: int = 0
    mark: SnapshotMark | None = None
    seconds: float = 0.0
    rebuilt: str = ""
    waiting: str = ""
    over_budget: bool = False

    @property
    def count(self) -> int:
        """Entries published."""
        return sum(self.captured.values())


class Poller:
    """The poller.

    Args:
        database: HAPI's database, which holds the published generation too.
        overlay: where to.
        views: the views of this deployment; rows are captured for these and for the published definitions.
        settings: intervals, budgets, pages.
    """

    def __init__(self, database: Database, overlay: Overlay, views: Sequence[View], settings: Settings) -> None:
        self.database = database
        self.overlay = overlay
        self.views = tuple(views)
        self.settings = settings

    def poll(self, *, rebuild: bool = False) -> Poll:
        """One drained poll.

        Args:
            rebuild: make the overlay anew from the published generation, whatever it holds.

        Raises:
            CaptureError: the poll failed; the overlay and its mark are what they were.
        SourceBusyError: the shape of HAPI's tables is being changed; the same holds.
            HapiUnavailableError, RedisUnavailableError: a server cannot be reached; the same holds.
        """
        began = time.monotonic()
        for _ in range(_ATTEMPTS):
            try:
                poll = self._attempt("asked for" if rebuild else "")
            except psycopg.Error as error:
                raise CaptureError(f"the poll failed: {reason(error)}", hint="the next one repeats it") from error
            if poll is not None:
                return replace(poll, seconds=time.monotonic() - began)
        raise CaptureError("other pollers published first, again and again", hint="run one poller")

    def _attempt(self, asked: str) -> Poll | None:
        """One poll, or None when the overlay changed meanwhile."""
        inspection = self.overlay.read_status()
        with self.database.connect() as connection:
            with marked_snapshot(connection, hapi_schema=self.settings.hapi_schema) as mark:
                position = log_position(connection)
                generation = published(connection)
                waiting = _waiting(generation, mark)
                if generation is None or waiting:
                    return Poll({}, waiting=waiting)
                views = wanted(generation, self.views)
                basis = plan_poll(connection, self.settings, inspection, generation, mark, views, asked)
                tables = open_tables(
                    connection, self.settings.hapi_schema, self.settings.source_timezone, types_of(views)
                )
                changes, digest = self._new(connection, tables, views, basis, generation, mark)
                if self._over_budget(basis, changes):
                    if self._forgotten(basis, generation):
                        return None
                    return Poll({}, mark=mark, over_budget=True, entries=basis.state.entry_count if basis.state else 0)
                entries = flatten_changes(connection, tables, views, changes, self.settings.poll_page_rows)
                next_number = next_transaction(connection, mark)
            make_durable(connection, position)
        state = self._next(basis, inspection, generation, mark, next_number, views, entries, digest)
        if not self.overlay.publish(state, inspection, entries, rebuild=bool(basis.rebuild)):
            return None
        pruned = 0
        if state.pruned_for != generation.number:
            pruned = self.overlay.prune(generation.number, generation.mark)
        return self._report(basis, inspection, mark, entries, pruned)

    def _new(
        self,
        connection: Connection,
        tables: HapiTables,
        views: Mapping[str, View],
        basis: PollPlan,
        generation: Generation,
        mark: SnapshotMark,
    ) -> tuple[list[Change], Digest]:
        """What to capture, and the digest of the tables that goes with it."""
        types = types_of(views)
        tagged = {view.resource for view in views.values() if view.complete_body}
        if basis.state is None:
            changes = changes_since_generation(connection, tables, generation, mark, types)
            return changes, take_digest(connection, tables, types, tagged)
        candidates = changes_since(
            connection,
            tables,
            types,
            basis.since,
            updated_since=basis.updated_since,
            version_rows=basis.exact and _small(connection, tables),
        )
        changes = self._unseen(by_key(connection, tables, candidates))
        first_versions = [change.res_id for change in changes if change.version == 1]
        created = take_digest(connection, tables, types, (), first_versions)
        if not basis.exact:
            return changes, basis.state.digest.with_created(created)
        digest = take_digest(connection, tables, types, tagged)
        if basis.compare or basis.state.digest.lacks_after(created, digest):
            held = self.overlay.held(basis.state.types)
            known = {change.key for change in changes}
            untracked = untracked_changes(connection, tables, generation, mark, held, relabel=basis.compare)
            changes += [change for change in untracked if change.key not in known]
        return changes, digest

    def _unseen(self, candidates: Sequence[Change]) -> list[Change]:
        """Candidates, less those whose present state is held already: these keep their first mark."""
        by_type: dict[str, list[Change]] = {}
        for change in candidates:
            by_type.setdefault(change.key.type, []).append(change)
        return [
            change
            for resource_type, of_type in sorted(by_type.items())
            for change, held in zip(
                of_type, self.overlay.seen(resource_type, [change.key for change in of_type]), strict=True
            )
            if held != change.fingerprint
        ]

    def _over_budget(self, basis: PollPlan, changes: Sequence[Change]) -> bool:
        held = basis.state.entry_count if basis.state else 0
        return bool(changes) and held + len(changes) > self.settings.overlay_max_entries

    def _forgotten(self, basis: PollPlan, generation: Generation) -> int:
        """Make room by forgetting what a generation covers for which nobody has pruned yet; the number of entries."""
        if basis.state is None or basis.state.pruned_for == generation.number:
            return 0
        return self.overlay.prune(generation.number, generation.mark)

    def _next(
        self,
        basis: PollPlan,
        inspection: OverlayStatus,
        generation: Generation,
        mark: SnapshotMark,
        next_number: int,
        views: Mapping[str, View],
        entries: Sequence[Entry],
        digest: Digest,
    ) -> OverlayState:
        before, found = basis.state, inspection.state
        stamps = [entry.change.last_updated for entry in entries]
        newest = min(max(stamps), mark.taken_at) if stamps else (before.watermark if before else mark.taken_at)
        watermark = max(newest, before.watermark) if before else newest
        # What is known of transaction numbers outlives the entries.
        floors = found.lookback_points if found and found.mark.covered_by(mark) else ()
        return OverlayState(
            epoch=before.epoch if before else f"{mark.taken_at.timestamp():.6f}",
            # Never a number from before a loss: a poller that slept through it must not find its own again.
            revision=int(inspection.revision or time.time_ns()) + 1,
            seq=(before.seq if before else 0) + 1,
            mark=mark,
            complete_since=basis.complete_since,
            exact_mark=mark if basis.exact else before.exact_mark if before else mark,
            watermark=watermark,
            lookback_points=add_lookback_point(floors, LookbackPoint(next_number, min(watermark, mark.taken_at)), mark),
            compared_with=generation.number,
            digest=digest,
            views={name: view.resource for name, view in views.items()},
            entries={},
            run_id=inspection.run_id,
            pruned_for=before.pruned_for if before else generation.number,
        )

    def _report(
        self, basis: PollPlan, inspection: OverlayStatus, mark: SnapshotMark, entries: Sequence[Entry], pruned: int
    ) -> Poll:
        before = basis.state
        late = 0
        if before and basis.exact:
            bound = lookback_bound(before, self.settings)
            late = sum(entry.change.last_updated < bound for entry in entries) if bound else 0
        if basis.rebuild == ALL_COVERED:
            pruned = inspection.state.entry_count if inspection.state else 0
        elif basis.rebuild:
            logger.info("overlay made anew (%s): %d entries", basis.rebuild, len(entries))
        state = self.overlay.read_status().state
        over_budget = (
            state is not None and bool(entries) and self.overlay.size_bytes(state) > self.settings.overlay_max_bytes
        )
        return Poll(
            captured=dict(sorted(Counter(entry.change.key.type for entry in entries).items())),
            deleted=sum(entry.change.deleted for entry in entries),
            unreadable=sum(bool(entry.unreadable) for entry in entries),
            late=late,
            entries=state.entry_count if state else 0,
            pruned=pruned,
            mark=mark,
            rebuilt="" if basis.rebuild == ALL_COVERED else basis.rebuild,
            over_budget=over_budget,
        )


def _waiting(generation: Generation | None, mark: SnapshotMark) -> str:
    """Why nothing can be captured before a refresh; empty when it can."""
    if generation is None:
        return "no generation is published yet: run a refresh first"
    if generation.mark.cluster != mark.cluster:
        return "the published generation is of another cluster: run a refresh first"
    if not generation.mark.reaches(mark):
        return "the published generation is too many transactions old: run a refresh first, which will be a full one"
    return ""


def types_of(views: Mapping[str, View]) -> set[str]:
    """Resource types that the views look at."""
    return {view.resource for view in views.values()}


def _small(connection: Connection, tables: HapiTables) -> bool:
    """Whether version rows, which hold the bodies, are few enough to be scanned by every poll."""
    row = connection.execute(
        "SELECT pg_relation_size(to_regclass(%(table)s)) <= %(limit)s",
        {"table": tables.schema.table("hfj_res_ver").as_string(), "limit": _VERSION_SCAN_MAX_BYTES},
    ).fetchone()
    return bool(row and row[0])


def flatten_changes(
    connection: Connection, tables: HapiTables, views: Mapping[str, View], changes: Sequence[Change], page_rows: int
) -> list[Entry]:
    """Flatten changed resources for every view of their type.

    Args:
        connection: in the poll's snapshot.
        tables: HAPI's tables.
        views: by `rows_key`.
        changes: what to capture.
        page_rows: resources flattened in one statement.
    """
    entries: list[Entry] = []
    for resource_type in sorted({change.key.type for change in changes}):
        of_type = [change for change in changes if change.key.type == resource_type]
        living = [change.res_id for change in of_type if not change.deleted]
        bodies: dict[ResourceKey, str] = {}
        rows: dict[str, dict[ResourceKey, str]] = {}
        unreadable: dict[ResourceKey, dict[str, Unreadable]] = {}
        for page in in_pages(living, page_rows):
            bodies |= _bodies(connection, tables, resource_type, page)
            for name, view in views.items():
                if view.resource == resource_type:
                    found, failed = flatten_rows(connection, tables, view, page)
                    rows.setdefault(name, {}).update(found)
                    for one in failed:
                        unreadable.setdefault(one.key, {})[name] = one
        entries += [
            Entry(
                change,
                rows={name: of_view[change.key] for name, of_view in rows.items() if change.key in of_view},
                unreadable=unreadable.get(change.key, {}),
                body=bodies.get(change.key),
            )
            for change in of_type
        ]
    return entries


def _bodies(
    connection: Connection, tables: HapiTables, resource_type: str, res_ids: tuple[int, ...]
) -> dict[ResourceKey, str]:
    bodies: dict[ResourceKey, str] = {}

    def keep(relation: ResourceRelation) -> int:
        query = sql.SQL("SELECT partition, id, body::text FROM ({}) AS resource").format(relation.query)
        found = connection.execute(query, dict(relation.parameters)).fetchall()
        bodies.update(
            {ResourceKey(partition, resource_type, logical_id): text for partition, logical_id, text in found}
        )
        return len(found)

    flatten(connection, tables, resource_type, ResourceRange(res_ids=res_ids), keep, complete=True)
    return bodies


def flatten_rows(
    connection: Connection, tables: HapiTables, view: View, res_ids: tuple[int, ...]
) -> tuple[dict[ResourceKey, str], tuple[Unreadable, ...]]:
    """The view's rows of these resources, as JSON text by key (`entry.text_rows`), and what could not be read."""
    rows: dict[ResourceKey, str] = {}

    def keep(relation: ResourceRelation) -> int:
        found = connection.execute(rows_as_text(view, relation), dict(relation.parameters)).fetchall()
        rows.update({ResourceKey(partition, view.resource, logical_id): text for partition, logical_id, text in found})
        return len(found)

    flattened = flatten(
        connection, tables, view.resource, ResourceRange(res_ids=res_ids), keep, complete=view.complete_body
    )
    return rows, flattened.unreadable
