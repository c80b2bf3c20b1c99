"""What the batch layer alone would answer to a SELECT: how many rows, and how many of either side the other lacks.

Rows are compared as multisets. A column is compared by its own equality where that is what readers expect: text,
numbers (6.5 equals 6.50), dates, times, booleans, bytea, jsonb, and lists of these. Some types have none (json, xml,
point), and some one of their own (box compares areas): they are compared by the text that PostgreSQL writes for a
value, from which the value can be read back, so that values that differ are never taken for equal.
"""

from collections.abc import Sequence

from psycopg import sql

from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.serving.merge import Fragment, MergeInput, batch_only, with_views
from lambda_pipeline.views.view import Column

_BY_TEXT = frozenset({TypeFamily.OTHER, TypeFamily.ARRAY})


def comparison(inputs: Sequence[MergeInput], text: str, columns: Sequence[Column]) -> Fragment:
    """One row `total, batch, added, removed`: counts of the statement over the merged views, and over batch alone.

    Args:
        inputs: the views that the statement reads, at least one.
        text: as `GuardedSelect.text`; its parameters are not among those of the fragment.
        columns: of its result.
    """
    merged, batch = with_views(inputs), with_views(batch_only(inputs))
    rows = sql.SQL("SELECT {shown} FROM ({text}\n) AS answer").format(shown=_comparable(columns), text=sql.SQL(text))
    statement = sql.SQL(_COMPARISON).format(merged=merged.text, batch=batch.text, rows=rows)
    return Fragment(statement, {**merged.parameters, **batch.parameters})


def _comparable(columns: Sequence[Column]) -> sql.Composable:
    # The statement is sent with parameters, and a name of its result may hold a %.
    names = [sql.Identifier(column.name.replace("%", "%%")) for column in columns]
    shown = [
        sql.SQL("answer.{}::pg_catalog.text" if _is_compared_by_text(column.type) else "answer.{}").format(name)
        for name, column in zip(names, columns, strict=True)
    ]
    return sql.SQL(", ").join(shown)


def _is_compared_by_text(type_name: str) -> bool:
    element = type_name.removesuffix("[]")
    return element == "json" or type_family(element) in _BY_TEXT


# Both sides run in one statement, on one snapshot.
_COMPARISON = """
WITH merged_answer AS MATERIALIZED ({merged} {rows}),
batch_answer AS MATERIALIZED ({batch} {rows})
SELECT (SELECT count(*) FROM merged_answer),
       (SELECT count(*) FROM batch_answer),
       (SELECT count(*) FROM (TABLE merged_answer EXCEPT ALL TABLE batch_answer) AS added),
       (SELECT count(*) FROM (TABLE batch_answer EXCEPT ALL TABLE merged_answer) AS removed)"""
