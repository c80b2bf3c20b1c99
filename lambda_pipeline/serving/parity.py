"""Parity: what is served for some resources, or for all, against their recompute in the same snapshot.

Both layers come from one compiler, so this should never find anything. It is run after every refresh all the same,
because "should" is not what an answer may rest on.
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.serving.layers import Layers, batch_layers, live_layers
from lambda_pipeline.serving.merge import Layer
from lambda_pipeline.serving.serving import Serving
from lambda_pipeline.source import EVERYTHING, HapiTables, ResourceKey, changes_since, open_tables
from lambda_pipeline.source.resources import Member
from lambda_pipeline.speed.capture import capture_rows
from lambda_pipeline.speed.entry import in_pages, member, text_rows

Rows = Counter[tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A resource whose served rows are not those of its recompute."""

    view: str
    resource: str
    served: int
    recomputed: int


@dataclass(frozen=True, slots=True)
class Parity:
    """What a parity check found.

    Attributes:
        mode: `batch` or `live`.
        checked: resources compared, over all views.
        changed: resources left out since they changed after the frontier.
        mismatches: those that differ.
    """

    mode: str
    checked: int
    changed: int
    mismatches: tuple[Mismatch, ...]


def check_parity(serving: Serving, mode: str, *, sample: int | None = 200, seed: int | None = None) -> Parity:
    """Compare served rows with a recompute, resource by resource, for every published view.

    Args:
        serving: the layers.
        mode: `batch` or `live`.
        sample: how many resources of each view, chosen at random; None for all.
        seed: of the choice.

    Raises:
        AnswerRefusedError: there is nothing to compare, or the overlay has a gap that may not be closed.
    """
    generation = serving.generation()
    names = sorted(generation.views) if generation else []
    opened: AbstractContextManager[Layers]
    if mode == "batch":
        opened = batch_layers(serving.database, names)
    else:
        opened = live_layers(serving.database, serving.overlay, serving.settings, names, freshness_target_s=None)
    chooser = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    checked = changed = 0
    mismatches: list[Mismatch] = []
    with opened as layers:
        types = {layer.view.resource for layer in layers.layers.values()}
        settings = serving.settings
        tables = open_tables(layers.connection, settings.hapi_schema, settings.source_timezone, types)
        newer = {change.key for change in changes_since(layers.connection, tables, types, layers.frontier)}
        for layer in layers.layers.values():
            members = tables.members(layers.connection, layer.view.resource, EVERYTHING)
            if sample is not None and sample < len(members):
                members = chooser.sample(members, sample)
            stable = [one for one in members if one.key not in newer]
            changed += len(members) - len(stable)
            checked += len(stable)
            for start in range(0, len(stable), settings.build_chunk_rows):
                part = stable[start : start + settings.build_chunk_rows]
                mismatches += _compare(layers.connection, tables, layer, part)
    return Parity(mode, checked, changed, tuple(mismatches))


def _compare(connection: Connection, tables: HapiTables, layer: Layer, members: Sequence[Member]) -> list[Mismatch]:
    served = _served(connection, layer, [one.key for one in members])
    recomputed: dict[ResourceKey, Rows] = {}
    for page in in_pages([one.res_id for one in members], len(members)):
        texts, _ = capture_rows(connection, tables, layer.view, page)
        recomputed |= {key: _rows(text) for key, text in texts.items()}
    return [
        Mismatch(layer.view.name, str(one.key), served[one.key].total(), recomputed.get(one.key, Counter()).total())
        for one in members
        if served[one.key] != recomputed.get(one.key, Counter())
    ]


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
