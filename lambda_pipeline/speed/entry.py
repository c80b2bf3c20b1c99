"""An overlay entry: one captured resource, with its rows for every view of its type."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from lambda_pipeline.source import Change, ResourceKey, ResourceRelation, Unreadable
from lambda_pipeline.views.view import View

LIVE_WINDOW_SEQ = 2**53 - 1
"""Sequence number of entries that a reader took from the source itself: later than every poll."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one poll keeps of one changed resource.

    Attributes:
        change: the state that was captured.
        rows: for each view of the type, by `rows_key`: the JSON list of its rows; `[]` for a tombstone.
        unreadable: for each view that could not be run on it: why.
        body: the resource as HAPI's REST interface would give it; None when deleted or unreadable.
    """

    change: Change
    rows: Mapping[str, str]
    unreadable: Mapping[str, Unreadable]
    body: str | None

    @property
    def member(self) -> str:
        """Name of the entry within its type."""
        return member(self.change.key)

    def packed_rows(self, rows_key: str, seq: int) -> str:
        """What the overlay holds of this entry for one view: JSON that PostgreSQL takes apart again."""
        return pack(self.change, seq, self.rows.get(rows_key, "[]"), self.unreadable.get(rows_key))

    def envelope(self, cached_at: datetime) -> str:
        """For point reads: the resource as captured, with what to know about it."""
        known = {
            "resource_type": self.change.key.type,
            "version": self.change.version,
            "last_updated": self.change.last_updated.astimezone(UTC).isoformat(),
            "cached_at": cached_at.astimezone(UTC).isoformat(),
            "deleted": self.change.deleted,
        }
        # The body is spliced in as text: decimals keep their digits.
        return f'{json.dumps(known)[:-1]}, "resource": {self.body or "null"}}}'


def member(key: ResourceKey) -> str:
    """A resource key within its type: `partition/id`."""
    return f"{key.partition}/{key.id}"


def key_of(resource_type: str, name: str) -> ResourceKey:
    """The inverse of `member`."""
    partition, logical_id = name.split("/", 1)
    return ResourceKey(int(partition), resource_type, logical_id)


def rows_key(view: View) -> str:
    """Name of a view's rows in the overlay: two definitions of one view never share it."""
    return f"{view.name}:{view.digest[:16]}"


def pack(change: Change, seq: int, rows: str, unreadable: Unreadable | None) -> str:
    """One entry of one view as JSON text: key, sequence number, version, rows, and why there are none."""
    head = json.dumps({"k": [change.key.partition, change.key.id], "s": seq, "v": change.version})
    quarantine = "" if unreadable is None else f', "q": {json.dumps([unreadable.sqlstate, unreadable.reason])}'
    return f'{head[:-1]}, "r": {rows}{quarantine}}}'


def text_rows(view: View) -> sql.Composed:
    """An aggregate over rows of the view: a JSON list of lists of text, as text.

    Each value is PostgreSQL's own text of the typed column, so that casting it back gives exactly the table's value.
    """
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in view.columns)
    return sql.SQL("jsonb_agg(to_jsonb(ARRAY[{}]))::text").format(columns)


def rows_as_text(view: View, relation: ResourceRelation) -> sql.Composed:
    """A statement giving `_partition, _id` and the view's rows of that resource, as `text_rows`."""
    return sql.SQL("SELECT _partition, _id, {rows} FROM ({view}\n) AS rows GROUP BY _partition, _id").format(
        rows=text_rows(view), view=view.select(relation.query)
    )


def typed_columns(view: View, row: str) -> sql.Composed:
    """The inverse: the view's typed columns out of one such list, named by a SQL alias."""
    return sql.SQL(", ").join(
        sql.SQL("({row} ->> {index})::{type} AS {name}").format(
            row=sql.Identifier(row),
            index=sql.Literal(index),
            type=sql.SQL(column.type),
            name=sql.Identifier(column.name),
        )
        for index, column in enumerate(view.columns)
    )


def in_pages(res_ids: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Slices of at most `size`."""
    return [tuple(res_ids[start : start + size]) for start in range(0, len(res_ids), size)]
