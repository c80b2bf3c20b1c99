"""The read rule: which overlay entries go with which generation, and whether together they can be shown to be complete.

First the overlay in one atomic read, then one database snapshot with everything else. In this order no publication and
no pruning in between can take anything away, and no reader has to be registered anywhere.
"""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.fill import Filler
from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.database import Connection, Database
from lambda_pipeline.errors import (
    AnswerRefusedError,
    CoverageGapError,
    NoGenerationError,
    RedisUnavailableError,
    StaleAnswerError,
    ViewNotPublishedError,
)
from lambda_pipeline.serving.answer import QuarantinedResource
from lambda_pipeline.serving.merge import MergeInput
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import ResourceKey, SnapshotMark, Unreadable, marked_snapshot, open_tables
from lambda_pipeline.speed.entry import LIVE_WINDOW_SEQ, rows_key
from lambda_pipeline.speed.overlay import Overlay, OverlayRead
from lambda_pipeline.speed.pending_changes import changes_since_generation
from lambda_pipeline.speed.poll import flatten_changes
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
        layers: the views asked, by name.
        frontier: every change that this snapshot saw is in.
        generation: the published generation; None for a recompute without one.
        sources: where rows come from.
        quarantined: resources without rows since they cannot be read.
        notes: what the reader of the answer should know.
    """

    connection: Connection
    layers: Mapping[str, MergeInput]
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
) -> Iterator[OpenRead]:
    """Batch and speed together, at the later of their snapshots.

    Where the overlay has a gap, or the frontier is older than the freshness target, the missing window is read from
    HAPI's tables in the same snapshot, if the settings allow it.

    Args:
        database: HAPI's database.
        overlay: None when the speed layer is off.
        settings: HAPI's schema and zone, budgets, and whether the source may be read.
        names: the views asked.
        freshness_target_s: how old the frontier may be; None for any age.
        hold_source: whether the caller reads HAPI's tables in the same snapshot, whatever the overlay has.

    Raises:
        NoGenerationError, ViewNotPublishedError: there is nothing to merge with.
        CoverageGapError, StaleAnswerError: the answer cannot be shown to be right, or is too old, and the source may
            not be read.
        SourceBusyError: the shape of HAPI's tables is being changed, and they are to be read.
    """
    # An answer from the overlay does not touch HAPI's tables, so it does not wait for whoever is changing them either.
    hapi_schema = settings.hapi_schema if hold_source else None
    for _ in range(_ATTEMPTS):
        with database.connect() as connection:
            known = published(connection)
            wanted = {name: _published_view(known, name) for name in names}
        reading, trouble = _read_overlay(overlay, list(wanted.values()))
        with database.connect() as connection, marked_snapshot(connection, hapi_schema=hapi_schema) as mark:
            generation = _required(published(connection))
            if {name: _published_view(generation, name).digest for name in names} != {
                name: view.digest for name, view in wanted.items()
            }:
                continue
            read = _Read(connection, settings, generation, mark, wanted)
            lacking = read.lacking(reading, trouble, freshness_target_s)
            if lacking and hapi_schema is None:
                hapi_schema = settings.hapi_schema
                continue
            yield read.window(lacking) if lacking or reading is None else read.merged(reading)
            return
    raise AnswerRefusedError("the view definitions changed again and again while reading", hint="ask again")


@contextmanager
def open_batch(database: Database, names: Collection[str], *, hapi_schema: str | None = None) -> Iterator[OpenRead]:
    """The published generation alone.

    Args:
        database: HAPI's database.
        names: the views asked.
        hapi_schema: schema of HAPI's tables, if the caller reads them in the same snapshot.

    Raises:
        NoGenerationError, ViewNotPublishedError: it does not hold what was asked.
        SourceBusyError: the shape of HAPI's tables is being changed, and they are to be read.
    """
    with database.connect() as connection, marked_snapshot(connection, hapi_schema=hapi_schema):
        generation = _required(published(connection))
        layers = {name: MergeInput(_published_view(generation, name), generation.views[name].table) for name in names}
        quarantined = tuple(found for _, found in _batch_quarantine(connection, names))
        yield OpenRead(connection, layers, generation.mark, generation, (_batch(generation),), quarantined)


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
    snapshot = partial(marked_snapshot, read_only=False, hapi_schema=settings.hapi_schema)
    with database.connect() as connection, snapshot(connection) as mark:
        connection.execute("SET LOCAL jit = off")
        generation = published(connection)
        wanted = {
            name: generation.views[name].view if generation and name in generation.views else views[name]
            for name in names
        }
        tables = open_tables(
            connection, settings.hapi_schema, settings.source_timezone, {view.resource for view in wanted.values()}
        )
        filler = Filler(connection, tables, settings.build_chunk_rows)
        layers, quarantined = {}, []
        for name, view in wanted.items():
            table = sql.Identifier("pg_temp", view.name)
            view_tables.create(connection, view, sql.Identifier(view.name), temporary=True)
            unreadable = filler.fill(view, table, what="recompute").unreadable
            view_tables.finish(connection, view, table)
            layers[name] = MergeInput(view, table)
            quarantined += [_quarantined(name, found) for found in unreadable]
        connection.execute("SET TRANSACTION READ ONLY")
        yield OpenRead(connection, layers, mark, generation, ("hapi",), tuple(quarantined))


@dataclass(frozen=True, slots=True)
class _Read:
    """One live read inside its snapshot."""

    connection: Connection
    settings: Settings
    generation: Generation
    mark: SnapshotMark
    views: Mapping[str, View]

    def lacking(self, reading: OverlayRead | None, trouble: str, freshness_target_s: float | None) -> str:
        """Why the changes since the generation are to be read from HAPI's tables; empty when the overlay has them.

        Raises:
            CoverageGapError, StaleAnswerError: they are, but may not.
        """
        gap = trouble or self._gap(reading)
        if gap or reading is None or reading.state is None:
            self._may_read_source(CoverageGapError(f"the overlay has a gap: {gap}", hint=_WAYS_OUT))
            return f"{gap}: the changes since the published generation were read from HAPI's tables"
        age_s = (self.mark.taken_at - self._frontier(reading.state).taken_at).total_seconds()
        if freshness_target_s is not None and age_s > freshness_target_s:
            self._may_read_source(StaleAnswerError(f"the frontier is {age_s:.0f} s old", hint=_WAYS_OUT))
            return f"the overlay was {age_s:.0f} s old: the changes were read from HAPI's tables"
        return ""

    def merged(self, reading: OverlayRead) -> OpenRead:
        """Generation and overlay, of which nothing is lacking."""
        state = reading.state
        assert state is not None
        all_covered = state.mark.covered_by(self.generation.mark)
        covered = state.seq if all_covered else reading.covered_seq(self.generation.mark)
        rows = {name: _uncovered(entries, covered) for name, entries in reading.rows.items()}
        return self._layers(rows, self._frontier(state), "overlay", self._clock_note(state))

    def _frontier(self, state: OverlayState) -> SnapshotMark:
        return state.mark.later(self.generation.mark)

    def _gap(self, reading: OverlayRead | None) -> str:
        """Why the overlay cannot be shown to hold everything since the generation; empty when it can."""
        if reading is None or reading.state is None:
            return reading.lost if reading else "the speed layer is off"
        if reading.lost:
            return reading.lost
        state = reading.state
        if state.mark.cluster != self.generation.mark.cluster or self.mark.cluster != state.mark.cluster:
            return "the overlay is of another database"
        if not state.mark.covered_by(self.mark):
            return "the overlay is ahead of this database"
        return self._unfit(state)

    def _unfit(self, state: OverlayState) -> str:
        """Why the overlay, as it is, does not go with this generation; empty when it does."""
        if not state.complete_since.covered_by(self.generation.mark):
            return "the overlay begins after the published generation"
        if state.compared_with != self.generation.number and not state.mark.covered_by(self.generation.mark):
            return f"no poll has compared the overlay with generation {self.generation.number} yet"
        return ""

    def _clock_note(self, state: OverlayState) -> tuple[str, ...]:
        if state.mark == state.exact_mark or state.mark.covered_by(self.generation.mark):
            return ()
        since = state.exact_mark.taken_at.isoformat(timespec="seconds")
        overlap = self.settings.poll_overlap_s
        note = (
            f"assumes that since {since}, when it was last verified, HAPI's stamps were at most {overlap:g} s off, and"
            " that nothing was expunged, retagged or rewritten in place"
        )
        return (note,)

    def _may_read_source(self, refusal: AnswerRefusedError) -> None:
        if not self.settings.read_source_on_gap:
            raise refusal
        if self.generation.mark.cluster != self.mark.cluster:
            raise CoverageGapError("the published generation is of another database", hint="run a refresh")
        if not self.generation.mark.reaches(self.mark):
            raise CoverageGapError(
                "the published generation is too many transactions old to tell what changed since",
                hint="run a refresh, which will be a full one",
            )

    def window(self, note: str) -> OpenRead:
        """Everything since the generation from HAPI's tables, in this snapshot, in place of the overlay."""
        types = {view.resource for view in self.views.values()}
        tables = open_tables(self.connection, self.settings.hapi_schema, self.settings.source_timezone, types)
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
                entry.member: entry.packed_rows(rows_key(view), LIVE_WINDOW_SEQ)
                for entry in entries
                if entry.change.key.type == view.resource
            }
            for name, view in self.views.items()
        }
        return self._layers(rows, self.mark, "hapi", (note,))

    def _layers(
        self, rows: Mapping[str, Mapping[str, str]], frontier: SnapshotMark, source: str, notes: tuple[str, ...]
    ) -> OpenRead:
        layers = {
            name: MergeInput(view, self.generation.views[name].table, rows.get(name, {}))
            for name, view in self.views.items()
        }
        quarantined = [
            found
            for member_name, found in _batch_quarantine(self.connection, self.views)
            if member_name not in layers[found.view].entries
        ]
        for name, layer in layers.items():
            quarantined += _overlay_quarantine(name, layer)
        sources = (_batch(self.generation), source)
        return OpenRead(self.connection, layers, frontier, self.generation, sources, tuple(quarantined), notes)


def _read_overlay(overlay: Overlay | None, views: Sequence[View]) -> tuple[OverlayRead | None, str]:
    if overlay is None:
        return None, "the speed layer is off"
    try:
        return overlay.read(views), ""
    except RedisUnavailableError as error:
        logger.warning("speed layer: %s", error)
        return None, f"the speed layer is down ({error.message})"


def _uncovered(entries: Mapping[str, str], covered: int) -> dict[str, str]:
    if not covered:
        return dict(entries)
    return {name: packed for name, packed in entries.items() if json.loads(packed)["s"] > covered}


def _overlay_quarantine(name: str, layer: MergeInput) -> Iterator[QuarantinedResource]:
    for packed in layer.entries.values():
        if '"q": [' in packed and "q" in (entry := json.loads(packed)):
            partition, logical_id = entry["k"]
            yield _named(name, partition, layer.view.resource, logical_id, entry["q"][1])


def _batch_quarantine(connection: Connection, names: Collection[str]) -> list[tuple[str, QuarantinedResource]]:
    rows = connection.execute(_QUARANTINE, {"views": sorted(names)})
    return [
        (f"{partition}/{logical_id}", _named(view, partition, resource_type, logical_id, reason))
        for view, partition, resource_type, logical_id, reason in rows
    ]


def _named(view: str, partition: int, resource_type: str, logical_id: str, reason: str) -> QuarantinedResource:
    return QuarantinedResource(view, str(ResourceKey(partition, resource_type, logical_id)), reason)


def _quarantined(view: str, found: Unreadable) -> QuarantinedResource:
    return QuarantinedResource(view, str(found.key), found.reason)


def _required(generation: Generation | None) -> Generation:
    if generation is None:
        raise NoGenerationError(
            "no generation has been published yet", hint="run lambda-pipeline refresh, or ask with mode source"
        )
    return generation


def _published_view(generation: Generation | None, name: str) -> View:
    held = _required(generation).views.get(name)
    if held is None:
        raise ViewNotPublishedError(
            f"view {name} is not in the published generation", hint="run a refresh, or ask with mode source"
        )
    return held.view


def _batch(generation: Generation) -> str:
    return f"batch generation {generation.number}"


_QUARANTINE = """
SELECT view, partition, resource_type, id, reason FROM sqlonfhir.quarantine
 WHERE view = ANY (%(views)s) ORDER BY view, partition, id"""
