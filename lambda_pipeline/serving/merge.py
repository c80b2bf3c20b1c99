"""The merge: batch rows whose resource the overlay does not supersede, UNION ALL the overlay's rows.

The one place where both layers meet. It gives each view as a common table expression; filters, joins and counts stand
above it. Filtering either side first would be wrong: a patient corrected today would stay in yesterday's cohort. Which
entries are merged is decided in `read`. The argument: docs/guarantees.md, "The read order".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from lambda_pipeline.source import NO_PARTITION
from lambda_pipeline.speed.entry import join_packed, typed_columns, unpacked_entries
from lambda_pipeline.views.view import Column, View


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


def gains_and_losses(
    merge_input: MergeInput, condition: sql.Composable, shown: Sequence[Column] | None = None
) -> Fragment:
    """How a filtered view differs from batch alone: one row `batch, added, removed, entries, overlapping`.

    Rows of a resource that the overlay supersedes are compared as a multiset: a row that comes back unchanged is
    neither added nor removed. The condition applies to each side as it applies to the merged view.

    Args:
        merge_input: the view.
        condition: over its columns.
        shown: the columns in which rows are compared; all by default.
    """
    return _compared(_GAINS_AND_LOSSES, merge_input, condition, shown or merge_input.view.columns)


def gained_and_lost(merge_input: MergeInput, condition: sql.Composable, shown: Sequence[Column]) -> Fragment:
    """The rows that `gains_and_losses` counts: `_change, _id` and the columns shown, by resource, removed ones first.

    `_change` is `added` or `removed`; `_id` is the resource's logical id, with `@` and the partition where it has one.
    """
    return _compared(_GAINED_AND_LOST, merge_input, condition, shown)


def _compared(template: str, merge_input: MergeInput, condition: sql.Composable, shown: Sequence[Column]) -> Fragment:
    overlay = overlay_relation(merge_input, 0)
    sides = sql.SQL(_SIDES).format(
        overlay=overlay.text,
        columns=_names(merge_input.view.columns),
        table=merge_input.table,
        typed=typed_columns(merge_input.view, "_row"),
    )
    differences = {
        name: sql.SQL(_DIFFERENCE).format(
            of=sql.SQL(of), other=sql.SQL(other), shown=_names(shown), condition=condition
        )
        for name, of, other in (("added", "gained", "lost"), ("removed", "lost", "gained"))
    }
    text = sql.SQL(template).format(
        sides=sides,
        table=merge_input.table,
        condition=condition,
        shown=_names(shown),
        no_partition=sql.Literal(NO_PARTITION),
        **differences,
    )
    return Fragment(text, overlay.parameters)


def _names(columns: Sequence[Column]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


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

# A row belongs to its resource: one that moves from a resource to another is removed there and added here.
_SIDES = """
WITH newer AS MATERIALIZED (
  {overlay}),
lost AS MATERIALIZED (
  SELECT * FROM (SELECT batch._partition, batch._id, {columns} FROM {table} AS batch
                   JOIN newer ON newer._id = batch._id AND newer._partition = batch._partition) AS old),
gained AS MATERIALIZED (
  SELECT * FROM (SELECT newer._partition, newer._id, {typed}
                   FROM newer CROSS JOIN LATERAL jsonb_array_elements(newer._rows) AS _row) AS new)"""

_DIFFERENCE = """SELECT _partition, _id, {shown} FROM {of} WHERE {condition} EXCEPT ALL
       SELECT _partition, _id, {shown} FROM {other} WHERE {condition}"""

_GAINS_AND_LOSSES = """{sides}
SELECT (SELECT count(*) FROM {table} AS batch WHERE {condition}),
       (SELECT count(*) FROM ({added}) AS added),
       (SELECT count(*) FROM ({removed}) AS removed),
       (SELECT count(*) FROM newer),
       (SELECT count(DISTINCT (_partition, _id)) FROM lost)"""

_GAINED_AND_LOST = """{sides}
SELECT _change,
       CASE _partition WHEN {no_partition} THEN _id ELSE _id || '@' || _partition END AS _id,
       {shown}
  FROM (SELECT 'added' AS _change, * FROM ({added}) AS added
        UNION ALL
        SELECT 'removed' AS _change, * FROM ({removed}) AS removed) AS change
 ORDER BY change._partition, change._id COLLATE "C", _change COLLATE "C" DESC"""

_SUPERSEDING = """SELECT {resource} AS resource, newer._partition, newer._id,
       EXISTS (SELECT FROM {table} AS batch
                WHERE batch._id = newer._id AND batch._partition = newer._partition) AS shadows
  FROM ({overlay}) AS newer"""
