"""Served rows against recomputed ones in one snapshot: which resources, and what may explain a difference."""

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
from lambda_pipeline.source import HapiTables, ResourceKey, SnapshotMark, changes_since, current_state, open_tables
from lambda_pipeline.speed.entry import in_pages, member, text_rows
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.pending_changes import GONE
from lambda_pipeline.speed.poll import flatten_rows

Rows = Counter[tuple[str | None, ...]]
"""The rows of one resource as a multiset of PostgreSQL's texts of their values."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that differs.

    Attributes:
        served: rows.
        recomputed: rows.
        generation: number of the published one.
        entry: what the overlay served of it, as it was read; None where the generation served it.
        fingerprint: of its state at the look; `GONE` of one that is not there.
        untraced: whether that may be a state from after the frontier.
    """

    served: int
    recomputed: int
    generation: int
    entry: str | None
    fingerprint: str
    untracked: bool = False

    def same_as(self, other: "Difference") -> bool:
        """Whether neither the resource nor what is served of it has changed; being gone twice alone proves nothing."""
        # Entries of an overlay that was made anew after a refresh may look alike, so the generation is compared too.
        return (self.fingerprint, self.generation, self.entry) == (other.fingerprint, other.generation, other.entry)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one look found for one view.

    Attributes:
        checked: resources compared.
        changed: resources left out, since a row of HAPI's tells that they may be newer than what is served.
        differing: those that differ.
    """

    checked: int
    changed: int
    differing: Mapping[ResourceKey, Difference]


@dataclass(frozen=True, slots=True)
class ParityRead:
    """The layers and HAPI's tables in one snapshot.

    Attributes:
        overlay: where live rows come from; None where they do not come from it.
        mark: of the snapshot.
        since: what is served holds at this mark without any condition. It is the frontier, or the last sweep where
            polls since then went by HAPI's stamps.
    """

    layers: OpenRead
    tables: HapiTables
    settings: Settings
    overlay: Overlay | None
    mark: SnapshotMark
    since: SnapshotMark

    @classmethod
    def over(cls, layers: OpenRead, overlay: Overlay | None, settings: Settings) -> "ParityRead":
        """A look at these layers; `overlay` is where they came from, if they did."""
        connection = layers.connection
        connection.execute("SET LOCAL jit = off")
        types = {layer.view.resource for layer in layers.layers.values()}
        tables = open_tables(connection, settings.hapi_schema, settings.source_timezone, types)
        ((snapshot,),) = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        mark = SnapshotMark.of(layers.frontier.cluster, snapshot, layers.frontier.taken_at)
        served_by = overlay if "overlay" in layers.sources else None
        return cls(layers, tables, settings, served_by, mark, _unconditional(layers, served_by))

    def compare_some(self, layer: MergeInput, sample: int | None, seed: int) -> Comparison:
        """Compare so many resources of each side, chosen by the seed; all where `sample` is None."""
        checked = changed = 0
        differing: dict[ResourceKey, Difference] = {}
        for keys in _everything(self, layer) if sample is None else [_sampled(self, layer, sample, seed)]:
            part = self.compare(layer, keys)
            checked += part.checked
            changed += part.changed
            differing |= part.differing
        return Comparison(checked, changed, differing)

    def compare(self, layer: MergeInput, keys: Sequence[ResourceKey]) -> Comparison:
        """Compare these resources, wherever they are or are not."""
        connection, tables, view = self.layers.connection, self.tables, layer.view
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
        served = _served(connection, layer, stable)
        differing = {
            key: Difference(
                served[key].total(),
                recomputed.get(key, Counter()).total(),
                self.generation.number,
                layer.entries.get(member(key)),
                states[key].fingerprint if key in states else GONE,
            )
            for key in stable
            if served[key] != recomputed.get(key, Counter())
        }
        return Comparison(len(stable), len(keys) - len(stable), self._explained(layer, differing))

    def _explained(
        self, layer: MergeInput, differing: Mapping[ResourceKey, Difference]
    ) -> dict[ResourceKey, Difference]:
        """The same, each with whether it may have changed after the frontier without a trace."""
        if not differing or self.mark.covered_by(self.since):
            return dict(differing)
        then = self._otherwise_in_generation(layer.view.resource)
        held = self._otherwise_in_overlay(layer, differing)
        return {key: replace(found, untracked=held.get(key, key in then)) for key, found in differing.items()}

    @property
    def generation(self) -> Generation:
        """The published generation, as this snapshot sees it."""
        assert self.layers.generation is not None
        return self.layers.generation

    def _otherwise_in_generation(self, resource_type: str) -> set[ResourceKey]:
        """Resources that the generation took down in another state; none if it took down some that were gone."""
        views = self.generation.views.values()
        counted = [known.resources for known in views if known.view.resource == resource_type]
        ((known_keys,),) = self.layers.connection.execute(_KNOWN_KEYS, {"resource_type": resource_type}).fetchall()
        if known_keys > min(counted):
            return set()
        return {resource.key for resource in compare_keys(self.layers.connection, self.tables, {resource_type})}

    def _otherwise_in_overlay(
        self, layer: MergeInput, differing: Mapping[ResourceKey, Difference]
    ) -> dict[ResourceKey, bool]:
        """Of resources that are served from the overlay: whether it captured another state than there is now."""
        if self.overlay is None:
            return {}
        captured = [key for key in differing if member(key) in layer.entries]
        held = self.overlay.seen(layer.view.resource, captured)
        # Fingerprints are of the entries that were read if these are still there after the fingerprints were read.
        still = self.overlay.read([layer.view]).rows.get(layer.view.name, {})
        return {
            key: fingerprint != differing[key].fingerprint or still.get(member(key)) != differing[key].entry
            for key, fingerprint in zip(captured, held, strict=True)
        }


def _unconditional(layers: OpenRead, overlay: Overlay | None) -> SnapshotMark:
    state = overlay.read_status().state if overlay else None
    if state is None or layers.generation is None:
        return layers.frontier
    verified = state.exact_mark.later(layers.generation.mark)
    # Another poll may have come since the layers were read.
    return verified if verified.covered_by(layers.frontier) else layers.frontier


def _sampled(look: ParityRead, layer: MergeInput, sample: int, seed: int) -> list[ResourceKey]:
    """So many of each side. Both tables are ordered by one hash, so that mostly they give the same resources."""
    connection, kind = look.layers.connection, layer.view.resource
    parameters = {"resource_type": kind, "seed": seed, "sample": sample}
    living = connection.execute(look.tables.compose(_SAMPLED_RESOURCES), parameters).fetchall()
    rows = connection.execute(sql.SQL(_SAMPLED_ROWS).format(table=layer.table), parameters).fetchall()
    entries = sorted(layer.entries)
    chosen = random.Random(seed).sample(entries, min(sample, len(entries)))  # noqa: S311 (a sample, not a secret)
    keys = {ResourceKey(partition, kind, logical_id) for partition, logical_id in (*living, *rows)}
    return sorted(keys | {_entry_key(kind, layer.entries[name]) for name in chosen})


def _everything(look: ParityRead, layer: MergeInput) -> Iterator[list[ResourceKey]]:
    """All living resources, then what is served for others, in pages."""
    connection, tables, kind, size = (
        look.layers.connection,
        look.tables,
        layer.view.resource,
        look.settings.build_chunk_rows,
    )
    for scope, _ in tables.chunks(connection, kind, size):
        yield sorted({one.key for one in tables.members(connection, kind, scope)})
    entries = [_entry_key(kind, packed) for packed in layer.entries.values()]
    statement = sql.SQL(_ROWS_WITHOUT_RESOURCE).format(table=layer.table, living=tables.compose(_LIVING_RESOURCES))
    parameters = {
        "resource_type": kind,
        "partitions": [key.partition for key in entries],
        "ids": [key.id for key in entries],
    }
    others = connection.execute(statement, parameters).fetchall()
    for start in range(0, len(others), size):
        yield [ResourceKey(partition, kind, logical_id) for partition, logical_id in others[start : start + size]]


def _entry_key(resource_type: str, packed: str) -> ResourceKey:
    partition, logical_id = json.loads(packed)["k"]
    return ResourceKey(partition, resource_type, logical_id)


def _served(connection: Connection, layer: MergeInput, keys: Collection[ResourceKey]) -> dict[ResourceKey, Rows]:
    statement = sql.SQL(
        "SELECT _partition, _id, {rows} FROM {table} WHERE (_partition, _id) IN"
        " (SELECT * FROM unnest(%(partitions)s::integer[], %(ids)s::text[])) GROUP BY _partition, _id"
    ).format(rows=text_rows(layer.view), table=layer.table)
    parameters = {"partitions": [key.partition for key in keys], "ids": [key.id for key in keys]}
    batch = {
        ResourceKey(partition, layer.view.resource, logical_id): _rows(text)
        for partition, logical_id, text in connection.execute(statement, parameters)
    }
    overlay = {
        key: _rows(json.dumps(json.loads(layer.entries[member(key)])["r"]))
        for key in keys
        if member(key) in layer.entries
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
