"""An overlay entry: one captured resource, with its rows for every view of its type.

`PackedEntry` is the one place that knows how an entry is written: as JSON in Redis, and taken apart in SQL. When an
entry is used is decided in `coverage`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from psycopg import sql

from lambda_pipeline.source import Change, ResourceKey, ResourceRelation, Unreadable
from lambda_pipeline.speed.redis_errors import damaged
from lambda_pipeline.views.view import View

LIVE_WINDOW_SEQ = 2**53 - 1
"""Sequence number of entries that a reader took from the source itself: later than every poll."""

_HEAD = re.compile(r'\{"k": \[-?\d+, "(?:[^"\\]|\\.)*"\], "s": (\d+)')
_QUARANTINE = '"q": ["'
_BODY = ', "resource": '

_PART_CHARACTERS = 16 * 1024 * 1024
"""PostgreSQL holds at most 256 MiB of elements in one jsonb array; a character has at most four bytes."""


@dataclass(frozen=True, slots=True)
class PackedEntry:
    """One entry of one view as the overlay holds it.

    Attributes:
        text: JSON with the members `k` (partition and id), `s` (sequence number of the poll), `v` (version), `r` (list
            of rows, each a list of texts; empty for a tombstone) and, where the resource cannot be read, `q`
            (SQLSTATE and reason).
    """

    text: str

    @classmethod
    def pack(cls, change: Change, seq: int, rows: str, unreadable: Unreadable | None) -> "PackedEntry":
        """Pack a captured resource.

        Args:
            change: the state that was captured.
            seq: of the poll.
            rows: the view's rows as JSON, see `text_rows`.
            unreadable: why there are no rows; None when it could be read.
        """
        head = json.dumps({"k": [change.key.partition, change.key.id], "s": seq, "v": change.version})
        quarantine = "" if unreadable is None else f', "q": {json.dumps([unreadable.sqlstate, unreadable.reason])}'
        # Rows are spliced in as text: PostgreSQL wrote them, and nothing may change a digit.
        return cls(f'{head[:-1]}, "r": {rows}{quarantine}}}')

    @property
    def seq(self) -> int:
        """Sequence number of the poll that captured it. Read from the head: rows can be long, entries many."""
        head = _HEAD.match(self.text)
        if head is None:
            raise damaged("an entry of the overlay")
        return int(head[1])

    @property
    def rows(self) -> list[list[str | None]]:
        """Its rows: PostgreSQL's text of each value."""
        return cast("list[list[str | None]]", self._members["r"])

    @property
    def quarantine_reason(self) -> str:
        """Why the resource cannot be read for this view; empty when it can."""
        # Most entries are readable, and finding that out must not cost the parsing of all rows.
        return self._members.get("q", ("", ""))[1] if _QUARANTINE in self.text else ""

    def key(self, resource_type: str) -> ResourceKey:
        """The resource."""
        partition, logical_id = self._members["k"]
        return ResourceKey(partition, resource_type, logical_id)

    @property
    def _members(self) -> dict[str, Any]:
        try:
            members = json.loads(self.text)
        except (ValueError, RecursionError):
            members = None
        match members:
            case {"k": [int(), str()], "r": [*rows], **rest} if all(isinstance(row, list) for row in rows):
                match rest.get("q", ["", ""]):
                    case [str(), str()]:
                        return cast("dict[str, Any]", members)
        raise damaged("an entry of the overlay")


def join_packed(entries: Iterable[str]) -> list[str]:
    """Texts of packed entries as JSON arrays of bounded size: the parameter of `unpacked_entries`."""
    joined: list[str] = []
    part: list[str] = []
    size = 0
    for text in entries:
        if part and size + len(text) > _PART_CHARACTERS:
            joined.append(f"[{','.join(part)}]")
            part, size = [], 0
        part.append(text)
        size += len(text)
    return [*joined, f"[{','.join(part)}]"]


def unpacked_entries(parameter: str) -> sql.Composed:
    """A SELECT of `_partition, _id, _rows` over a parameter that holds `join_packed`."""
    return sql.SQL(_UNPACKED).format(entries=sql.Placeholder(parameter))


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

    def packed(self, rows_key: str, seq: int) -> str:
        """What the overlay holds of this entry for one view."""
        return PackedEntry.pack(self.change, seq, self.rows.get(rows_key, "[]"), self.unreadable.get(rows_key)).text

    def point_read(self, cached_at: datetime, captured_by: str) -> str:
        """The value of the point read: the resource as captured, with what to know about it, as JSON.

        Args:
            cached_at: now.
            captured_by: the overlay's prefix and the poll's sequence number: its key is that of every pipeline.
        """
        known = {
            "resource_type": self.change.key.type,
            "version": self.change.version,
            "last_updated": self.change.last_updated.astimezone(UTC).isoformat(),
            "cached_at": cached_at.astimezone(UTC).isoformat(),
            "deleted": self.change.deleted,
            "captured_by": captured_by,
        }
        # The body is spliced in as text: decimals keep their digits.
        return f"{json.dumps(known)[:-1]}{_BODY}{self.body or 'null'}}}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A point read as it is held.

    Attributes:
        captured_by: prefix of the overlay and sequence number of the poll that wrote it.
        version: the version that was captured.
        last_updated: HAPI's timestamp, in UTC.
        deleted: whether it is a delete.
        body: the resource as JSON text, digits as they were; None when deleted, or where it cannot be read.
    """

    captured_by: str
    version: int
    last_updated: datetime
    deleted: bool
    body: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Envelope":
        """The inverse of `Entry.point_read`.

        Raises:
            RedisUnavailableError: it is damaged.
        """
        head, _, body = text.partition(_BODY)
        try:
            json.loads(text)
            match json.loads(head + "}"):
                case {
                    "captured_by": str(by),
                    "version": int(version),
                    "last_updated": str(updated),
                    "deleted": bool(deleted),
                }:
                    held = None if body == "null}" else body[:-1]
                    return cls(by, version, datetime.fromisoformat(updated).astimezone(UTC), deleted, held)
        except (ValueError, RecursionError):
            pass
        raise damaged("a point read")


def member(key: ResourceKey) -> str:
    """A resource key within its type: `partition/id`."""
    return f"{key.partition}/{key.id}"


def key_of(resource_type: str, name: str) -> ResourceKey:
    """The inverse of `member`."""
    partition, _, logical_id = name.partition("/")
    try:
        return ResourceKey(int(partition), resource_type, logical_id)
    except ValueError:
        raise damaged("the name of an entry of the overlay") from None


def rows_key(view: View) -> str:
    """Name of a view's rows in the overlay: two definitions of one view never share it."""
    return rows_name(view.name, view.digest)


def rows_name(view: str, digest: str) -> str:
    """The same by name and digest, where the definition itself is not at hand."""
    return f"{view}:{digest[:16]}"


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
    """The view's typed columns out of one list that `text_rows` wrote, named by an SQL alias."""
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


_UNPACKED = """SELECT (entry -> 'k' ->> 0)::integer AS _partition, entry -> 'k' ->> 1 AS _id, entry -> 'r' AS _rows
    FROM unnest({entries}::text[]) AS part CROSS JOIN LATERAL jsonb_array_elements(part::jsonb) AS entry"""
