"""Served rows against recomputed ones in one snapshot: which resources differ, and what may explain a difference.

What a difference means is decided in `parity`. The argument: docs/guarantees.md, "Parity".
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.key_comparison import compare_keys
from lambda_pipeline.database import Connection
from lambda_pipeline.serving.merge import MergeInput
from lambda_pipeline.serving.read import OpenRead
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import (
    HapiSource,
    HapiTables,
    ResourceKey,
    SnapshotMark,
    changes_since,
    current_state,
    open_tables,
)
from lambda_pipeline.speed.entry import PackedEntry, in_pages, member, text_rows
from lambda_pipeline.speed.flatten_changes import flatten_rows
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.pending_changes import GONE

Rows = Counter[tuple[str | None, ...]]
"""The rows of one resource as a multiset of PostgreSQL's texts of their values."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that differs.

    Attributes:
        served: number of rows that are served.
        recomputed: number of rows of the recompute.
        generation: number of the published one.
        entry: what the overlay served of it, as it was read; None where the generation served it.
        fingerprint: of its state in the snapshot; `GONE` if it is not there.
        untracked: whether that may be a state from after the frontier.
    """

    served: int
    recomputed: int
    generation: int
    entry: str | None
    fingerprint: str
    untracked: bool = False

    def same_as(self, other: "Difference") -> bool:
        """Whether neither the resource nor its served rows changed; to be gone both times alone proves nothing."""
        # Entries of an overlay that was made again after a refresh may look alike, so the generation is compared too.
        return (self.fingerprint, self.generation, self.entry) == (other.fingerprint, other.generation, other.entry)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found for one view in one snapshot.

    Attributes:
        checked: resources compared.
        changed: resources left out, because a row of HAPI's shows that they may be newer than what is served.
        differing: those that differ.
    """

    checked: int
    changed: int
    differing: Mapping[ResourceKey, Difference]


@dataclass(frozen=True, slots=True)
class ParityRead:
    """Served rows and HAPI's tables in one snapshot.

    Attributes:
        read: the views, opened in the snapshot.
        tables: HAPI's tables in it.
        settings: chunk size.
        overlay: where live rows come from; None where they do not come from it.
        mark: of the snapshot.
        since: what is served holds at this mark without any condition. It is the frontier, or the last sweep if polls
            since then were ranged.
    """

    read: OpenRead
    tables: HapiTables
    settings: Settings
    overlay: Overlay | None
    mark: SnapshotMark
    since: SnapshotMark

    @classmethod
    def over(cls, read: OpenRead, overlay: Overlay | None, settings: Settings) -> "ParityRead":
        """Over an open read; `overlay` is the one it was read from, if it was."""
        connection = read.connection
        connection.execute("SET LOCAL jit = off")
        types = {merge_input.view.resource for merge_input in read.inputs.values()}
        tables = open_tables(connection, HapiSource.of(settings), types)
        ((snapshot,),) = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        mark = SnapshotMark.of(read.frontier.cluster, snapshot, read.frontier.taken_at, read.frontier.identity)
        served_by = overlay if "overlay" in read.sources else None
        return cls(read, tables, settings, served_by, mark, _unconditional(read, served_by))

    def compare_some(self, merge_input: MergeInput, sample: int | None, seed: int) -> Comparison:
        """Compare `sample` resources of each side, chosen by the seed; all of them if it is None."""
        checked = changed = 0
        differing: dict[ResourceKey, Difference] = {}
        for keys in _everything(self, merge_input) if sample is None else [_sampled(self, merge_input, sample, seed)]:
            part = self.compare(merge_input, keys)
            checked += part.checked
            changed += part.changed
            differing |= part.differing
        return Comparison(checked, changed, differing)

    def compare(self, merge_input: MergeInput, keys: Sequence[ResourceKey]) -> Comparison:
        """Compare these resources, wherever they are or are not."""
        connection, tables, view = self.read.connection, self.tables, merge_input.view
        states = {change.key: change for change in current_state(connection, tables, keys)}
        ids = [change.res_id for change in states.values()]
        since = changes_since(connection, tables, {view.resource}, self.since, res_ids=ids)
        newer = {change.key for change in since}
        stable = [key for key in keys if key not in newer]
        living = [states[key].res_id for key in stable if key in states and not states[key].deleted]
        recomputed: dict[ResourceKey, Rows] = {}
        for page in in_pages(living, self.settings.build_chunk_rows):
            texts, _ = flatten_rows(connection, tables, view, page)
            recomputed |= {key: _rows(text) for key, text in texts.items()}
        served = _served(connection, merge_input, stable)
        differing = {
            key: Difference(
                served[key].total(),
                recomputed.get(key, Counter()).total(),
                self.generation.number,
                merge_input.entries.get(member(key)),
                states[key].fingerprint if key in states else GONE,
            )
            for key in stable
            if served[key] != recomputed.get(key, Counter())
        }
        return Comparison(len(stable), len(keys) - len(stable), self._explained(merge_input, differing))

    def _explained(
        self, merge_input: MergeInput, differing: Mapping[ResourceKey, Difference]
    ) -> dict[ResourceKey, Difference]:
        """The same, each with whether it may have changed after the frontier without a trace."""
        if not differing or self.mark.covered_by(self.since):
            return dict(differing)
        then = self._changed_in_generation(merge_input.view.resource)
        held = self._changed_in_overlay(merge_input, differing)
        return {key: replace(found, untracked=held.get(key, key in then)) for key, found in differing.items()}

    @property
    def generation(self) -> Generation:
        """The published generation, as this snapshot sees it."""
        assert self.read.generation is not None
        return self.read.generation

    def _changed_in_generation(self, resource_type: str) -> set[ResourceKey]:
        """Resources whose recorded fingerprint differs from the current one.

        Empty if the generation recorded keys of resources that no longer existed: its records then prove nothing.
        """
        views = self.generation.views.values()
        counted = [known.resources for known in views if known.view.resource == resource_type]
        ((known_keys,),) = self.read.connection.execute(_KNOWN_KEYS, {"resource_type": resource_type}).fetchall()
        if known_keys > min(counted):
            return set()
        return {resource.key for resource in compare_keys(self.read.connection, self.tables, {resource_type})}

    def _changed_in_overlay(
        self, merge_input: MergeInput, differing: Mapping[ResourceKey, Difference]
    ) -> dict[ResourceKey, bool]:
        """For each differing resource that the overlay serves: whether it captured another state."""
        if self.overlay is None:
            return {}
        captured = [key for key in differing if member(key) in merge_input.entries]
        held = self.overlay.fingerprints_of(merge_input.view.resource, captured)
        # A fingerprint belongs to the entry that was read only if that entry is still there afterwards.
        still = self.overlay.read({merge_input.view.name: merge_input.view.digest}).rows.get(merge_input.view.name, {})
        return {
            key: fingerprint != differing[key].fingerprint or still.get(member(key)) != differing[key].entry
            for key, fingerprint in zip(captured, held, strict=True)
        }


def _unconditional(read: OpenRead, overlay: Overlay | None) -> SnapshotMark:
    state = overlay.read_status().state if overlay else None
    if state is None or read.generation is None:
        return read.frontier
    verified = state.exact_mark.later(read.generation.mark)
    # Another poll may have come since the views were opened.
    return verified if verified.covered_by(read.frontier) else read.frontier


def _sampled(parity_read: ParityRead, merge_input: MergeInput, sample: int, seed: int) -> list[ResourceKey]:
    """A sample of each side. Both tables are ordered by one hash, so that they mostly give the same resources."""
    connection, resource_type = parity_read.read.connection, merge_input.view.resource
    parameters = {"resource_type": resource_type, "seed": seed, "sample": sample}
    living = connection.execute(parity_read.tables.compose(_SAMPLED_RESOURCES), parameters).fetchall()
    rows = connection.execute(sql.SQL(_SAMPLED_ROWS).format(table=merge_input.table), parameters).fetchall()
    entries = sorted(merge_input.entries)
    chosen = random.Random(seed).sample(entries, min(sample, len(entries)))  # noqa: S311 (a sample, not a secret)
    keys = {ResourceKey(partition, resource_type, logical_id) for partition, logical_id in (*living, *rows)}
    return sorted(keys | {PackedEntry(merge_input.entries[name]).key(resource_type) for name in chosen})


def _everything(parity_read: ParityRead, merge_input: MergeInput) -> Iterator[list[ResourceKey]]:
    """All living resources, then what is served for others, in pages."""
    connection, tables, resource_type, size = (
        parity_read.read.connection,
        parity_read.tables,
        merge_input.view.resource,
        parity_read.settings.build_chunk_rows,
    )
    for scope, _ in tables.chunks(connection, resource_type, size):
        yield sorted({one.key for one in tables.members(connection, resource_type, scope)})
    entries = [PackedEntry(packed).key(resource_type) for packed in merge_input.entries.values()]
    statement = sql.SQL(_ROWS_WITHOUT_RESOURCE).format(
        table=merge_input.table, living=tables.compose(_LIVING_RESOURCES)
    )
    parameters = {
        "resource_type": resource_type,
        "partitions": [key.partition for key in entries],
        "ids": [key.id for key in entries],
    }
    others = connection.execute(statement, parameters).fetchall()
    for start in range(0, len(others), size):
        yield [
            ResourceKey(partition, resource_type, logical_id) for partition, logical_id in others[start : start + size]
        ]


def _served(connection: Connection, merge_input: MergeInput, keys: Collection[ResourceKey]) -> dict[ResourceKey, Rows]:
    statement = sql.SQL(
        "SELECT _partition, _id, {rows} FROM {table} WHERE (_partition, _id) IN"
        " (SELECT * FROM unnest(%(partitions)s::integer[], %(ids)s::text[])) GROUP BY _partition, _id"
    ).format(rows=text_rows(merge_input.view), table=merge_input.table)
    parameters = {"partitions": [key.partition for key in keys], "ids": [key.id for key in keys]}
    batch = {
        ResourceKey(partition, merge_input.view.resource, logical_id): _rows(text)
        for partition, logical_id, text in connection.execute(statement, parameters)
    }
    overlay = {
        key: Counter(map(tuple, PackedEntry(merge_input.entries[member(key)]).rows))
        for key in keys
        if member(key) in merge_input.entries
    }
    return {key: overlay.get(key, batch.get(key, Counter())) for key in keys}


def _rows(text: str) -> Rows:
    return Counter(tuple(row) for row in json.loads(text))


_KNOWN_KEYS = "SELECT count(*) FROM sqlonfhir.resource_key WHERE resource_type = %(resource_type)s"

_LIVING_RESOURCES = """
SELECT {partition}, {id}
  FROM {resources} r
  {forced_ids}
 WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL"""

_SAMPLED_RESOURCES = f"{_LIVING_RESOURCES}\n ORDER BY hashtextextended({{id}}, %(seed)s), 1, 2 LIMIT %(sample)s"

_SAMPLED_ROWS = """
SELECT _partition, _id FROM {table}
 GROUP BY 1, 2 ORDER BY hashtextextended(_id, %(seed)s), 1, 2 LIMIT %(sample)s"""

_ROWS_WITHOUT_RESOURCE = """
(SELECT _partition, _id FROM {table} UNION SELECT * FROM unnest(%(partitions)s::integer[], %(ids)s::text[]))
EXCEPT {living}
 ORDER BY 1, 2"""
