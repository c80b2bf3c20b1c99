"""The merge: batch rows whose resource the overlay does not supersede, UNION ALL the overlay's rows.

The one place where both layers meet. It gives each view as a common table expression; filters, joins and counts stand
above it. Filtering either side first would be wrong: a patient corrected today would stay in yesterday's cohort. Which
entries are merged is decided in `read`. The argument: docs/guarantees.md, "The read order".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from lambda_pipeline.speed.entry import join_packed, typed_columns, unpacked_entries
from lambda_pipeline.views.view import View


@dataclass(frozen=True, slots=True)
class MergeInput:
    """One view, ready to be merged.

    Attributes:
        view: the definition that both sides were made from.
        table: the table with its rows; of the published generation, or temporary.
        entries: overlay entries that the table's generation does not cover, by member; each as `PackedEntry.text`.
    """

    view: View
    table: sql.Identifier
    entries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL with its parameters."""

    text: sql.Composed
    parameters: Mapping[str, Any]


def with_views(inputs: Iterable[MergeInput]) -> Fragment:
    """`WITH "a" AS (…), "b" AS (…)`: each view merged, under its own name, with its own columns only."""
    tables: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for number, merge_input in enumerate(inputs):
        merged = _merged(merge_input, number)
        tables.append(merged.text)
        parameters |= merged.parameters
    return Fragment(sql.SQL("WITH {}\n").format(sql.SQL(",\n").join(tables)), parameters)


def batch_only(inputs: Iterable[MergeInput]) -> list[MergeInput]:
    """The same views without the overlay: what the batch layer alone would answer."""
    return [MergeInput(merge_input.view, merge_input.table) for merge_input in inputs]


def _merged(merge_input: MergeInput, number: int) -> Fragment:
    name = sql.Identifier(merge_input.view.name)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in merge_input.view.columns)
    if not merge_input.entries:
        plain = sql.SQL(_BATCH).format(name=name, columns=columns, table=merge_input.table)
        return Fragment(plain, {})
    overlay = overlay_relation(merge_input, number)
    merged = sql.SQL(_MERGED).format(
        overlay_name=sql.Identifier(f"_overlay_{number}"),
        overlay=overlay.text,
        name=name,
        columns=columns,
        table=merge_input.table,
        typed=typed_columns(merge_input.view, "_row"),
    )
    return Fragment(merged, overlay.parameters)


def overlay_relation(merge_input: MergeInput, number: int) -> Fragment:
    """The entries of one view as a relation `_partition, _id, _rows`."""
    name = f"lp:entries:{number}"
    return Fragment(unpacked_entries(name), {name: join_packed(merge_input.entries.values())})


def gains_and_losses(merge_input: MergeInput, condition: sql.Composable) -> Fragment:
    """How a filtered view differs from batch alone: one row `batch, added, removed, entries, overlapping`.

    Rows of a resource that the overlay supersedes are compared as a multiset: a row that comes back unchanged is
    neither added nor removed. The condition applies to each side as it applies to the merged view.
    """
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in merge_input.view.columns)
    overlay = overlay_relation(merge_input, 0)
    text = sql.SQL(_GAINS_AND_LOSSES).format(
        overlay=overlay.text,
        columns=columns,
        table=merge_input.table,
        typed=typed_columns(merge_input.view, "_row"),
        condition=condition,
    )
    return Fragment(text, overlay.parameters)


def superseding(inputs: Sequence[MergeInput]) -> Fragment:
    """How many uncovered entries there are over all inputs, and how many shadow batch rows; each resource once."""
    parts: list[sql.Composable] = []
    parameters: dict[str, Any] = {}
    for number, merge_input in enumerate(inputs):
        overlay = overlay_relation(merge_input, number)
        parameters |= overlay.parameters
        parts.append(
            sql.SQL(_SUPERSEDING).format(
                resource=sql.Literal(merge_input.view.resource), overlay=overlay.text, table=merge_input.table
            )
        )
    text = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE shadows) FROM (SELECT bool_or(shadows) AS shadows"
        " FROM ({}) AS entry GROUP BY resource, _partition, _id) AS resource"
    ).format(sql.SQL(" UNION ALL ").join(parts))
    return Fragment(text, parameters)


_BATCH = "{name} AS NOT MATERIALIZED (SELECT {columns} FROM {table})"

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
