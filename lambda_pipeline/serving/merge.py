"""The merge: batch rows whose resource the overlay does not supersede, UNION ALL the overlay's rows.

The one place where both layers meet. It gives each view as a common table expression; whatever filters, joins or
counts, does so above it. Filtering either side first would be wrong: a patient corrected today would stay in
yesterday's cohort.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from lambda_pipeline.speed.entry import typed_columns
from lambda_pipeline.views.view import View


@dataclass(frozen=True, slots=True)
class MergeInput:
    """One view, ready to be merged.

    Attributes:
        view: the definition that both sides were made from.
        table: the table with its rows; of the published generation, or temporary.
        entries: packed overlay entries that the table's generation does not cover, by member; see `speed.entry.pack`.
    """

    view: View
    table: sql.Identifier
    entries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL with its parameters."""

    text: sql.Composed
    parameters: Mapping[str, Any]


def with_views(layers: Iterable[MergeInput]) -> Fragment:
    """`WITH "a" AS (…), "b" AS (…)`: each view merged, under its own name, with its own columns only."""
    tables: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for number, layer in enumerate(layers):
        merged = _merged(layer, number)
        tables.append(merged.text)
        parameters |= merged.parameters
    return Fragment(sql.SQL("WITH {}\n").format(sql.SQL(",\n").join(tables)), parameters)


def batch_only(layers: Iterable[MergeInput]) -> list[MergeInput]:
    """The same views without the overlay: what the batch layer alone would say."""
    return [MergeInput(layer.view, layer.table) for layer in layers]


def _merged(layer: MergeInput, number: int) -> Fragment:
    name = sql.Identifier(layer.view.name)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in layer.view.columns)
    if not layer.entries:
        plain = sql.SQL(_BATCH).format(name=name, columns=columns, table=layer.table)
        return Fragment(plain, {})
    overlay = overlay_relation(layer, number)
    merged = sql.SQL(_MERGED).format(
        overlay_name=sql.Identifier(f"_overlay_{number}"),
        overlay=overlay.text,
        name=name,
        columns=columns,
        table=layer.table,
        typed=typed_columns(layer.view, "_row"),
    )
    return Fragment(merged, overlay.parameters)


def overlay_relation(layer: MergeInput, number: int) -> Fragment:
    """The entries of a layer as a relation `_partition, _id, _rows`."""
    name = f"lp:entries:{number}"
    text = sql.SQL(_OVERLAY).format(entries=sql.Placeholder(name))
    return Fragment(text, {name: f"[{','.join(layer.entries.values())}]"})


def gains_and_losses(layer: MergeInput, condition: sql.Composable) -> Fragment:
    """How a filtered view differs from batch alone: one row `batch, added, removed, entries, overlapping`.

    Rows of a resource that the overlay supersedes are compared as a multiset: a row that comes back unchanged is
    neither added nor removed. The condition applies to each side as it applies to the merged view.
    """
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in layer.view.columns)
    overlay = overlay_relation(layer, 0)
    text = sql.SQL(_GAINS_AND_LOSSES).format(
        overlay=overlay.text,
        columns=columns,
        table=layer.table,
        typed=typed_columns(layer.view, "_row"),
        condition=condition,
    )
    return Fragment(text, overlay.parameters)


def superseding(layers: Sequence[MergeInput]) -> Fragment:
    """How many uncovered entries there are over all layers, and how many shadow batch rows; each resource once."""
    parts: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for number, layer in enumerate(layers):
        overlay = overlay_relation(layer, number)
        parameters |= overlay.parameters
        parts.append(
            sql.SQL(_SUPERSEDING).format(
                resource=sql.Literal(layer.view.resource), overlay=overlay.text, table=layer.table
            )
        )
    text = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE shadows) FROM (SELECT bool_or(shadows) AS shadows"
        " FROM ({}) AS entry GROUP BY resource, _partition, _id) AS resource"
    ).format(sql.SQL(" UNION ALL ").join(parts))
    return Fragment(text, parameters)


_BATCH = "{name} AS NOT MATERIALIZED (SELECT {columns} FROM {table})"

_OVERLAY = """SELECT (entry -> 'k' ->> 0)::integer AS _partition, entry -> 'k' ->> 1 AS _id, entry -> 'r' AS _rows
    FROM jsonb_array_elements({entries}::text::jsonb) AS entry"""

_MERGED = """{overlay_name} AS MATERIALIZED (
  {overlay}),
{name} AS NOT MATERIALIZED (
  SELECT {columns}
    FROM {table} AS batch
   WHERE NOT EXISTS (SELECT FROM {overlay_name} AS newer
                      WHERE newer._id = batch._id AND newer._partition = batch._partition)
   UNION ALL
  SELECT {typed}
    FROM {overlay_name} AS newer CROSS JOIN LATERAL jsonb_array_elements(newer._rows) AS _row)"""

_GAINS_AND_LOSSES = """
WITH newer AS MATERIALIZED (
  {overlay}),
lost AS MATERIALIZED (
  SELECT * FROM (SELECT batch._partition, batch._id, {columns} FROM {table} AS batch
                   JOIN newer ON newer._id = batch._id AND newer._partition = batch._partition) AS old),
gained AS MATERIALIZED (
  SELECT * FROM (SELECT newer._partition, newer._id, {typed}
                   FROM newer CROSS JOIN LATERAL jsonb_array_elements(newer._rows) AS _row) AS new)
SELECT (SELECT count(*) FROM {table} AS batch WHERE {condition}),
       (SELECT count(*) FROM (SELECT * FROM gained WHERE {condition} EXCEPT ALL
                              SELECT * FROM lost WHERE {condition}) AS added),
       (SELECT count(*) FROM (SELECT * FROM lost WHERE {condition} EXCEPT ALL
                              SELECT * FROM gained WHERE {condition}) AS removed),
       (SELECT count(*) FROM newer),
       (SELECT count(DISTINCT (_partition, _id)) FROM lost)"""

_SUPERSEDING = """SELECT {resource} AS resource, newer._partition, newer._id,
       EXISTS (SELECT FROM {table} AS batch
                WHERE batch._id = newer._id AND batch._partition = newer._partition) AS shadows
  FROM ({overlay}) AS newer"""
