"""The read rule: the overlay first, in one atomic read, then one database snapshot with everything else.

In this order no publication and no pruning in between can take anything away, and no reader has to be registered
anywhere. Whether overlay and generation go together is decided in `speed.coverage`; what is done with both, in `merge`.
The argument: docs/guarantees.md, "The read order".
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.fill import Filler
from lambda_pipeline.batch.generation import Generation, published, published_digests
from lambda_pipeline.database import Connection, Database
from lambda_pipeline.errors import (
    AnswerRefusedError,
    CoverageGapError,
    NoGenerationError,
    RedisUnavailableError,
    SettingsChangedError,
    StaleAnswerError,
    ViewNotPublishedError,
)
from lambda_pipeline.serving.answer import QuarantinedResource
from lambda_pipeline.serving.merge import MergeInput
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import HapiSource, ResourceKey, SnapshotMark, marked_snapshot, open_tables
from lambda_pipeline.speed import coverage
from lambda_pipeline.speed.entry import LIVE_WINDOW_SEQ, PackedEntry, member, rows_key
from lambda_pipeline.speed.flatten_changes import flatten_changes
from lambda_pipeline.speed.overlay import Overlay, OverlayRead
from lambda_pipeline.speed.pending_changes import changes_since_generation
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_WAYS_OUT = "wait for the next poll, ask with mode source, or with a larger freshness target"


@dataclass(frozen=True, slots=True)
class OpenRead:
    """Everything one answer is computed from, inside one open snapshot.

    Attributes:
        connection: in that snapshot.
        inputs: the views asked, ready to be merged, by name.
        frontier: every change that this snapshot saw is in.
        generation: the published generation; None for a recompute without one.
        sources: where rows come from.
        quarantined: resources without rows because they cannot be read.
        notes: what the reader of the answer should know.
    """

    connection: Connection
    inputs: Mapping[str, MergeInput]
    frontier: SnapshotMark
    generation: Generation | None
    sources: tuple[str, ...]
    quarantined: tuple[QuarantinedResource, ...]
    notes: tuple[str, ...] = ()


@contextmanager
def open_live(
    database: Database,
    overlay: Overlay | None,
    settings: Settings,
    names: Collection[str],
    *,
    freshness_target_s: float | None,
    hold_source: bool = False,
    digests: Mapping[str, str] | None = None,
) -> Iterator[OpenRead]:
    """Batch and speed together, at the later of their snapshots.

    Where the overlay has a gap, or the frontier is older than the freshness target, the missing window is read from
    HAPI's tables in the same snapshot, if the settings allow it.

    Args:
        database: HAPI's database.
        overlay: None when the speed layer is off.
        settings: HAPI's schema and zone, budgets, and whether the source may be read.
        names: the views asked.
        freshness_target_s: how old the frontier may be, in seconds; None for any age.
        hold_source: whether the caller reads HAPI's tables in the same snapshot, whatever the overlay holds.
        digests: of the published definitions by name, as `published_digests` just gave them; read here by default.

    Raises:
        NoGenerationError, ViewNotPublishedError: there is nothing to merge with.
        CoverageGapError, StaleAnswerError: the answer cannot be shown to be right, or is too old, and the source may
            not be read.
        SourceBusyError: the shape of HAPI's tables is being changed, and they are to be read.
    """
    # An answer from the overlay does not touch HAPI's tables, so it does not wait for a migration of them either.
    configured = HapiSource.of(settings)
    source = configured if hold_source else None
    if digests is None:
        with database.connect() as connection:
            digests = published_digests(connection)
    if any(name not in digests for name in names):
        with database.connect() as connection:
            newest = _require(published(connection), configured)
        digests = {name: _published_view(newest, name).digest for name in names}
    for attempt in range(_ATTEMPTS):
        overlay_read, trouble = _read_overlay(overlay, {name: digests[name] for name in names})
        if trouble and attempt == 0 and overlay is not None:
            logger.warning("%s", trouble)
        with database.connect() as connection, marked_snapshot(connection, source=source) as mark:
            generation = _require(published(connection), configured)
            views = {name: _published_view(generation, name) for name in names}
            expected, digests = digests, {name: known.view.digest for name, known in generation.views.items()}
            if any(view.digest != expected[name] for name, view in views.items()):
                continue  # the overlay was asked for rows of other definitions
            read = _LiveRead(connection, settings, generation, mark, views)
            lacking = read.find_lack(overlay_read, trouble, freshness_target_s)
            if lacking and source is None:
                source = configured
                continue  # the tables must be locked before the snapshot that reads them
            yield read.window(lacking) if lacking or overlay_read is None else read.merge(overlay_read)
            return
    raise AnswerRefusedError("the view definitions kept changing while they were read", hint="ask again")


@contextmanager
def open_batch(
    database: Database, settings: Settings, names: Collection[str], *, hold_source: bool = False
) -> Iterator[OpenRead]:
    """The published generation alone.

    Args:
        database: HAPI's database.
        settings: HAPI's schema and zone.
        names: the views asked.
        hold_source: whether the caller reads HAPI's tables in the same snapshot.

    Raises:
        NoGenerationError, ViewNotPublishedError: it does not hold what was asked.
        SourceBusyError: the shape of HAPI's tables is being changed, and they are to be read.
    """
    configured = HapiSource.of(settings)
    source = configured if hold_source else None
    with database.connect() as connection, marked_snapshot(connection, source=source):
        generation = _require(published(connection), configured)
        inputs = {name: MergeInput(_published_view(generation, name), generation.views[name].table) for name in names}
        quarantined = tuple(found for _, found in _batch_quarantine(connection, names))
        yield OpenRead(connection, inputs, generation.mark, generation, (_name_batch(generation),), quarantined)


@contextmanager
def open_source(
    database: Database, settings: Settings, views: Mapping[str, View], names: Collection[str]
) -> Iterator[OpenRead]:
    """A full recompute from HAPI's tables, in one snapshot, by the code that builds generations.

    Args:
        database: HAPI's database; the role needs the right to create temporary tables.
        settings: chunk size, schema, zone.
        views: definitions for what is not published.
        names: the views asked.
    """
    source = HapiSource.of(settings)
    with database.connect() as connection, marked_snapshot(connection, read_only=False, source=source) as mark:
        connection.execute("SET LOCAL jit = off")
        generation = published(connection)
        definitions = {
            name: generation.views[name].view if generation and name in generation.views else views[name]
            for name in names
        }
        tables = open_tables(connection, source, {view.resource for view in definitions.values()})
        filler = Filler(connection, tables, settings.build_chunk_rows)
        inputs, quarantined = {}, []
        for name, view in definitions.items():
            table = sql.Identifier("pg_temp", view.name)
            view_tables.create(connection, view, sql.Identifier(view.name), temporary=True)
            unreadable = filler.fill(view, table, what="recompute").unreadable
            view_tables.finish(connection, view, table)
            inputs[name] = MergeInput(view, table)
            quarantined += [QuarantinedResource(name, str(found.key), found.reason) for found in unreadable]
        connection.execute("SET TRANSACTION READ ONLY")
        yield OpenRead(connection, inputs, mark, generation, ("hapi",), tuple(quarantined))


def clock_note(state: OverlayState, generation: Generation, settings: Settings) -> tuple[str, ...]:
    """The note of whatever comes from the overlay after polls that trusted HAPI's timestamps; none after exact ones."""
    if state.mark == state.exact_mark or coverage.covers_all(generation, state):
        return ()
    since = state.exact_mark.taken_at.isoformat(timespec="seconds")
    note = (
        f"assumes that since {since}, when it was last verified, HAPI's timestamps were at most"
        f" {settings.poll_overlap_s:g} s off, and that nothing was expunged, retagged or rewritten in place"
    )
    return (note,)


@dataclass(frozen=True, slots=True)
class _LiveRead:
    """One live read inside its snapshot."""

    connection: Connection
    settings: Settings
    generation: Generation
    mark: SnapshotMark
    views: Mapping[str, View]

    def find_lack(self, overlay_read: OverlayRead | None, trouble: str, freshness_target_s: float | None) -> str:
        """Why the changes since the generation must be read from HAPI's tables; empty when the overlay has them.

        Raises:
            CoverageGapError, StaleAnswerError: they must, but may not.
        """
        if overlay_read is None:
            gap: coverage.Gap | str | None = trouble
        else:
            definitions = self.views.values()
            gap = coverage.find_gap(
                overlay_read.state, overlay_read.lost, self.generation, now=self.mark, definitions=definitions
            )
        if gap or overlay_read is None or overlay_read.state is None:
            self._require_source(CoverageGapError(f"the overlay has a gap: {gap}", hint=_WAYS_OUT))
            return f"{gap}: the changes since the published generation were read from HAPI's tables"
        age_s = (self.mark.taken_at - self._frontier(overlay_read.state).taken_at).total_seconds()
        if freshness_target_s is not None and age_s > freshness_target_s:
            self._require_source(StaleAnswerError(f"the frontier is {age_s:.0f} s old", hint=_WAYS_OUT))
            return f"the overlay was {age_s:.0f} s old: the changes were read from HAPI's tables"
        return ""

    def merge(self, overlay_read: OverlayRead) -> OpenRead:
        """Generation and overlay, between which there is no gap."""
        state = overlay_read.state
        assert state is not None
        covered = coverage.covered_seq(state, overlay_read.polls, self.generation.mark)
        rows = {name: _drop_covered(entries, covered) for name, entries in overlay_read.rows.items()}
        return self._open(rows, self._frontier(state), "overlay", clock_note(state, self.generation, self.settings))

    def _frontier(self, state: OverlayState) -> SnapshotMark:
        return state.mark.later(self.generation.mark)

    def _require_source(self, refusal: AnswerRefusedError) -> None:
        """Raise unless the changes since the generation may be read from HAPI's tables, and can be."""
        if not self.settings.read_source_on_gap:
            raise refusal
        broken = self.generation.mark.find_break(self.mark)
        if broken:
            raise CoverageGapError(
                f"nothing can tell what changed since the published generation: {broken}",
                hint="run a refresh, which will be a full one",
            )

    def window(self, note: str) -> OpenRead:
        """Everything since the generation from HAPI's tables, in this snapshot, in place of the overlay."""
        types = {view.resource for view in self.views.values()}
        tables = open_tables(self.connection, HapiSource.of(self.settings), types)
        changes = changes_since_generation(self.connection, tables, self.generation, self.mark, types)
        if len(changes) > self.settings.overlay_max_entries:
            raise CoverageGapError(
                f"{len(changes)} changes since the published generation are too many to read for one answer",
                hint="run a refresh, or ask with mode source",
            )
        by_key = {rows_key(view): view for view in self.views.values()}
        entries = flatten_changes(self.connection, tables, by_key, changes, self.settings.poll_page_rows)
        rows = {
            name: {
                entry.member: entry.packed(rows_key(view), LIVE_WINDOW_SEQ)
                for entry in entries
                if entry.change.key.type == view.resource
            }
            for name, view in self.views.items()
        }
        return self._open(rows, self.mark, "hapi", (note,))

    def _open(
        self, rows: Mapping[str, Mapping[str, str]], frontier: SnapshotMark, source: str, notes: tuple[str, ...]
    ) -> OpenRead:
        inputs = {
            name: MergeInput(view, self.generation.views[name].table, rows.get(name, {}))
            for name, view in self.views.items()
        }
        quarantined = [
            found
            for member_name, found in _batch_quarantine(self.connection, self.views)
            if member_name not in inputs[found.view].entries
        ]
        for merge_input in inputs.values():
            quarantined += _overlay_quarantine(merge_input)
        sources = (_name_batch(self.generation), source)
        return OpenRead(self.connection, inputs, frontier, self.generation, sources, tuple(quarantined), notes)


def _read_overlay(overlay: Overlay | None, digests: Mapping[str, str]) -> tuple[OverlayRead | None, str]:
    if overlay is None:
        return None, "the speed layer is off"
    try:
        return overlay.read(digests), ""
    except RedisUnavailableError as error:
        return None, f"the speed layer is down ({error.message})"


def _drop_covered(entries: Mapping[str, str], covered: int) -> dict[str, str]:
    if not covered:
        return dict(entries)
    return {name: packed for name, packed in entries.items() if PackedEntry(packed).seq > covered}


def _overlay_quarantine(merge_input: MergeInput) -> Iterator[QuarantinedResource]:
    view = merge_input.view
    for entry in map(PackedEntry, merge_input.entries.values()):
        if reason := entry.quarantine_reason:
            yield QuarantinedResource(view.name, str(entry.key(view.resource)), reason)


def _batch_quarantine(connection: Connection, names: Collection[str]) -> list[tuple[str, QuarantinedResource]]:
    """Each with its name as a member of the overlay: an entry of the overlay replaces what the generation recorded."""
    rows = connection.execute(_QUARANTINE, {"views": sorted(names)})
    keys = [
        (view, ResourceKey(partition, resource_type, logical_id), reason)
        for view, partition, resource_type, logical_id, reason in rows
    ]
    return [(member(key), QuarantinedResource(view, str(key), reason)) for view, key, reason in keys]


def _require(generation: Generation | None, source: HapiSource) -> Generation:
    if generation is None:
        raise NoGenerationError(
            "no generation has been published yet", hint="run lambda-pipeline refresh, or ask with mode source"
        )
    changed = generation.mark.find_change(source)
    if changed:
        raise SettingsChangedError(f"{changed} since the published generation was made")
    return generation


def _published_view(generation: Generation, name: str) -> View:
    known = generation.views.get(name)
    if known is None:
        failure = generation.failures.get(name, "")
        raise ViewNotPublishedError(
            f"view {name} is not in the published generation{f': {failure}' if failure else ''}",
            hint="run a refresh, or ask with mode source",
        )
    return known.view


def _name_batch(generation: Generation) -> str:
    return f"batch generation {generation.number}"


_QUARANTINE = """
SELECT view, partition, resource_type, id, reason FROM sqlonfhir.quarantine
 WHERE view = ANY (%(views)s) ORDER BY view, partition, id"""
