"""Parity: what is served for some resources, or for all, against their recompute from HAPI's tables.

Both layers come from one compiler, so this should never find anything. It is run after every refresh all the same,
because "should" is not what an answer may rest on.

Served is what holds at the frontier, and recomputed can only be what holds now. So a resource is one of three:

- changed since, and a row tells (`changes_since`): left out, and counted. Where polls go by HAPI's stamps between two
  sweeps, what they served since the last sweep holds on a condition, and is left out as well;
- changed since, and nothing tells: an expunged resource, a removed tag. Such a resource differs. It is no mismatch
  where the keys and fingerprints that the layers took down say that it was in another state then, and it counts as
  undecided. In live mode it is looked at once more when the frontier has passed the first look, which decides it;
- not changed since: if it differs, it is a mismatch.

What the layers took down is not believed blindly. A generation that knows more keys than there were living resources
has kept some that were gone, and then a resource that is served and is not there is a mismatch.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.keys import compare_keys
from lambda_pipeline.database import Connection
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.layers import Layers, batch_layers, live_layers
from lambda_pipeline.serving.merge import Layer
from lambda_pipeline.serving.serving import Serving, query_failed
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import HapiTables, Mark, ResourceKey, changes_since, current_state, open_tables
from lambda_pipeline.speed.capture import capture_rows
from lambda_pipeline.speed.entry import in_pages, member, text_rows
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.window import GONE, newest_by_key

ServedMode = Literal["live", "batch"]
"""The modes whose rows are kept somewhere; `source` is the recompute itself."""

SERVED_MODES: tuple[ServedMode, ...] = ("batch", "live")

DEFAULT_SAMPLE = 200
"""Something wrong with two resources in a hundred is found in 98 of a hundred checks."""

Rows = Counter[tuple[str | None, ...]]

_NAMED = 20
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A resource whose served rows are not those of its recompute.

    Attributes:
        view: where.
        resource: its key, as in `Patient/123`.
        served: number of its rows that are served.
        recomputed: number of rows that it should have; 0 where the resource is gone.
    """

    view: str
    resource: str
    served: int
    recomputed: int

    def __str__(self) -> str:
        return f"{self.resource} in {self.view} ({self.served} rows served, {self.recomputed} recomputed)"


@dataclass(frozen=True, slots=True)
class ViewParity:
    """What was found for one view.

    Attributes:
        checked: resources compared.
        changed: resources left out since they changed after the frontier, or after the last sweep.
        undecided: keys of resources that differ, and may have changed after the frontier without leaving a trace.
        mismatches: those that differ and had not changed.
    """

    checked: int
    changed: int
    undecided: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """What a parity check found. Nothing of a patient is in it but resource keys.

    Attributes:
        mode: `batch` or `live`.
        sample: resources chosen from each side, for each view; None for all.
        seed: chooses the same ones again from the same tables.
        valid_as_of: the frontier that was checked, in UTC.
        generation: number of the published generation.
        sources: what was served from.
        notes: on what conditions the served rows hold.
        views: by name.
        seconds: time it took.
    """

    mode: ServedMode
    sample: int | None
    seed: int
    valid_as_of: datetime
    generation: int
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    views: Mapping[str, ViewParity]
    seconds: float = 0.0

    @property
    def checked(self) -> int:
        """Resources compared, over all views."""
        return sum(view.checked for view in self.views.values())

    @property
    def changed(self) -> int:
        """Resources left out since they changed after the frontier, over all views."""
        return sum(view.changed for view in self.views.values())

    @property
    def undecided(self) -> tuple[str, ...]:
        """Keys of the undecided resources, over all views."""
        return tuple(sorted({key for view in self.views.values() for key in view.undecided}))

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """All mismatches, by view and resource."""
        return tuple(one for name in sorted(self.views) for one in self.views[name].mismatches)

    def __str__(self) -> str:
        """One line for logs and terminals: counts, and the first mismatches by key."""
        parts = [f"parity of {self.mode}: {self.checked:,} resources compared"]
        parts += [f"{self.changed:,} left out, changed since"] if self.changed else []
        parts += [f"{len(self.undecided):,} undecided"] if self.undecided else []
        found = self.mismatches
        named = ", ".join(map(str, found[:_NAMED])) + (f" and {len(found) - _NAMED:,} more" if found[_NAMED:] else "")
        parts += [f"{len(found):,} differ: {named}" if found else "no difference"]
        return f"{', '.join(parts)} (seed {self.seed})"


def check_parity(
    serving: Serving,
    mode: ServedMode,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int | None = None,
    views: Collection[str] | None = None,
    patience_s: float = 5.0,
) -> Parity:
    """Compare served rows with a recompute, resource by resource.

    Resources come from every side, so that rows of resources that are not there are found as well: HAPI's living
    resources, the keys of the view's table, the entries of the overlay.

    Args:
        serving: the layers.
        mode: `batch` or `live`.
        sample: how many resources of each side, for each view, chosen at random; None for all.
        seed: of the choice; a new one by default.
        views: names; all published ones by default.
        patience_s: how long to wait for the next poll to decide about live rows that differ without a trace.

    Raises:
        BadRequestError: another mode.
        AnswerRefusedError: there is nothing to compare, or the overlay has a gap that may not be closed.
        QueryFailedError: PostgreSQL ended the comparison.
    """
    if mode not in SERVED_MODES:
        raise BadRequestError(f"unknown mode {mode}", hint="batch or live: source is the recompute itself")
    began = time.monotonic()
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    generation = serving.generation()
    names = sorted(views if views is not None else generation.views if generation else ())
    try:
        with _opened(serving, mode, names) as layers:
            look = _Look.over(layers, serving)
            found = {name: _compare_all(look, layer, sample, seed) for name, layer in layers.layers.items()}
            about = (layers.frontier.taken_at, look.generation.number, layers.sources, layers.notes)
        if mode == "live" and any(each.differing for each in found.values()):
            found = _look_again(serving, look, found, time.monotonic() + patience_s)
    except psycopg.Error as error:
        raise query_failed(error) from error
    result = {name: _told(name, each) for name, each in found.items()}
    return Parity(mode, sample, seed, *about, views=result, seconds=time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Difference:
    """One resource that differs.

    Attributes:
        served: rows.
        recomputed: rows.
        source: what served it: the entry of the overlay as it was read, or the generation.
        fingerprint: of its state at the look; `GONE` of one that is not there.
        untraced: whether that may be a state from after the frontier.
    """

    served: int
    recomputed: int
    source: str
    fingerprint: str
    untraced: bool = False

    def same_as(self, other: "_Difference") -> bool:
        """Whether neither the resource nor what is served of it has changed; being gone twice alone proves nothing."""
        return self.fingerprint == other.fingerprint and self.source == other.source


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What one look found for one view."""

    checked: int
    changed: int
    differing: Mapping[ResourceKey, _Difference]


@dataclass(frozen=True, slots=True)
class _Look:
    """The layers and HAPI's tables in one snapshot.

    Attributes:
        overlay: where live rows come from; None where they do not come from it.
        mark: of the snapshot.
        since: what is served holds at this mark without any condition. It is the frontier, or the last sweep where
            polls since then went by HAPI's stamps.
    """

    layers: Layers
    tables: HapiTables
    settings: Settings
    overlay: Overlay | None
    mark: Mark
    since: Mark

    @classmethod
    def over(cls, layers: Layers, serving: Serving) -> "_Look":
        connection, settings = layers.connection, serving.settings
        connection.execute("SET LOCAL jit = off")
        types = {layer.view.resource for layer in layers.layers.values()}
        tables = open_tables(connection, settings.hapi_schema, settings.source_timezone, types)
        ((snapshot,),) = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        mark = Mark.of(layers.frontier.cluster, snapshot, layers.frontier.taken_at)
        overlay = serving.overlay if "overlay" in layers.sources else None
        return cls(layers, tables, settings, overlay, mark, _unconditional(layers, overlay))

    def compare(self, layer: Layer, keys: Sequence[ResourceKey]) -> _Comparison:
        connection, tables, view = self.layers.connection, self.tables, layer.view
        states = {change.key: change for change in newest_by_key(current_state(connection, tables, keys))}
        ids = [change.res_id for change in states.values()]
        since = changes_since(connection, tables, {view.resource}, self.since, res_ids=ids)
        newer = {change.key for change in since}
        stable = [key for key in keys if key not in newer]
        living = [states[key].res_id for key in stable if key in states and not states[key].deleted]
        recomputed: dict[ResourceKey, Rows] = {}
        for page in in_pages(living, self.settings.build_chunk_rows):
            texts, _ = capture_rows(connection, tables, view, page)
            recomputed |= {key: _rows(text) for key, text in texts.items()}
        served = _served(connection, layer, stable)
        differing = {
            key: _Difference(
                served[key].total(),
                recomputed.get(key, Counter()).total(),
                layer.entries.get(member(key), f"generation {self.generation.number}"),
                states[key].fingerprint if key in states else GONE,
            )
            for key in stable
            if served[key] != recomputed.get(key, Counter())
        }
        return _Comparison(len(stable), len(keys) - len(stable), self._explained(layer, differing))

    def _explained(self, layer: Layer, differing: Mapping[ResourceKey, _Difference]) -> dict[ResourceKey, _Difference]:
        """The same, each with whether it may have changed after the frontier without a trace."""
        if not differing or self.mark.covered_by(self.since):
            return dict(differing)
        then = self._otherwise_in_generation(layer.view.resource)
        held = self._otherwise_in_overlay(layer, differing)
        return {key: replace(found, untraced=held.get(key, key in then)) for key, found in differing.items()}

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
        self, layer: Layer, differing: Mapping[ResourceKey, _Difference]
    ) -> dict[ResourceKey, bool]:
        """Of resources that are served from the overlay: whether it captured another state than there is now."""
        if self.overlay is None:
            return {}
        captured = [key for key in differing if member(key) in layer.entries]
        held = self.overlay.seen(layer.view.resource, captured)
        # Fingerprints are of the entries that were read if these are still there after the fingerprints were read.
        still = self.overlay.read([layer.view]).rows.get(layer.view.name, {})
        return {
            key: fingerprint != differing[key].fingerprint or still.get(member(key)) != differing[key].source
            for key, fingerprint in zip(captured, held, strict=True)
        }


def _unconditional(layers: Layers, overlay: Overlay | None) -> Mark:
    state = overlay.inspect().state if overlay else None
    if state is None or layers.generation is None:
        return layers.frontier
    verified = state.exact_mark.later(layers.generation.mark)
    # Another poll may have come since the layers were read.
    return verified if verified.covered_by(layers.frontier) else layers.frontier


def _opened(serving: Serving, mode: ServedMode, names: Sequence[str]) -> AbstractContextManager[Layers]:
    if mode == "batch":
        return batch_layers(serving.database, names)
    overlay = serving.overlay if serving.settings.speed_layer else None
    return live_layers(serving.database, overlay, serving.settings, names, freshness_target_s=None)


def _compare_all(look: _Look, layer: Layer, sample: int | None, seed: int) -> _Comparison:
    checked = changed = 0
    differing: dict[ResourceKey, _Difference] = {}
    for keys in _everything(look, layer) if sample is None else [_sampled(look, layer, sample, seed)]:
        part = look.compare(layer, keys)
        checked += part.checked
        changed += part.changed
        differing |= part.differing
    return _Comparison(checked, changed, differing)


def _look_again(
    serving: Serving, first: _Look, found: Mapping[str, _Comparison], deadline: float
) -> dict[str, _Comparison]:
    """Compare once more what differed: a poll may have come in between, and a later frontier decides the untraced."""
    names = [name for name, each in found.items() if each.differing]
    waiting = any(one.untraced for each in found.values() for one in each.differing.values())
    while True:
        with _opened(serving, "live", names) as layers:
            look = _Look.over(layers, serving)
            passed = first.mark.covered_by(look.since)
            if passed or not waiting or time.monotonic() >= deadline:
                again = {
                    name: look.compare(layer, sorted(found[name].differing)) for name, layer in layers.layers.items()
                }
                break
        time.sleep(_LOOK_AGAIN_S)
    return {
        **found,
        **{name: _decided(found[name], each, passed=passed) for name, each in again.items()},
    }


def _decided(before: _Comparison, again: _Comparison, *, passed: bool) -> _Comparison:
    """What still differs; a state that the frontier has passed and that is the same now is no new one."""
    differing = {
        key: replace(one, untraced=one.untraced and not (passed and one.same_as(before.differing[key])))
        for key, one in again.differing.items()
    }
    return _Comparison(before.checked - again.changed, before.changed + again.changed, differing)


def _told(name: str, found: _Comparison) -> ViewParity:
    ordered = [(key, found.differing[key]) for key in sorted(found.differing)]
    return ViewParity(
        checked=found.checked,
        changed=found.changed,
        undecided=tuple(str(key) for key, one in ordered if one.untraced),
        mismatches=tuple(
            Mismatch(name, str(key), one.served, one.recomputed) for key, one in ordered if not one.untraced
        ),
    )


def _sampled(look: _Look, layer: Layer, sample: int, seed: int) -> list[ResourceKey]:
    """So many of each side. Both tables are ordered by one hash, so that mostly they give the same resources."""
    connection, kind = look.layers.connection, layer.view.resource
    parameters = {"resource_type": kind, "seed": seed, "sample": sample}
    living = connection.execute(_over_resources(look.tables, _SAMPLED_RESOURCES), parameters).fetchall()
    rows = connection.execute(sql.SQL(_SAMPLED_ROWS).format(table=layer.table), parameters).fetchall()
    entries = sorted(layer.entries)
    chosen = random.Random(seed).sample(entries, min(sample, len(entries)))  # noqa: S311 (a sample, not a secret)
    keys = {ResourceKey(partition, kind, logical_id) for partition, logical_id in (*living, *rows)}
    return sorted(keys | {_entry_key(kind, layer.entries[name]) for name in chosen})


def _everything(look: _Look, layer: Layer) -> Iterator[list[ResourceKey]]:
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
    statement = sql.SQL(_ROWS_WITHOUT_RESOURCE).format(
        table=layer.table, living=_over_resources(tables, _LIVING_RESOURCES)
    )
    parameters = {
        "resource_type": kind,
        "partitions": [key.partition for key in entries],
        "ids": [key.id for key in entries],
    }
    others = connection.execute(statement, parameters).fetchall()
    for start in range(0, len(others), size):
        yield [ResourceKey(partition, kind, logical_id) for partition, logical_id in others[start : start + size]]


def _over_resources(tables: HapiTables, template: str) -> sql.Composed:
    return sql.SQL(template).format(
        partition=tables.partition,
        id=tables.logical_id,
        resources=tables.schema.table("hfj_resource"),
        forced_ids=tables.forced_id_join,
    )


def _entry_key(resource_type: str, packed: str) -> ResourceKey:
    partition, logical_id = json.loads(packed)["k"]
    return ResourceKey(partition, resource_type, logical_id)


def _served(connection: Connection, layer: Layer, keys: Collection[ResourceKey]) -> dict[ResourceKey, Rows]:
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
