"""What is published: the newest generation, read in the reader's own snapshot."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.snapshot import SnapshotMark
from lambda_pipeline.views.view import Column, View

SCHEMA = "sqlonfhir"
"""Schema of the batch layer, beside HAPI's."""


@dataclass(frozen=True, slots=True)
class PublishedView:
    """A view as a generation holds it.

    Attributes:
        view: as it was compiled for this generation; the file may say something else by now.
        relation: name of the table with its rows, in `SCHEMA`.
        row_count: rows in it.
        resources: living resources of its type, with or without rows.
        quarantined: resources without rows because they cannot be read.
        made: `full` or `incremental`.
        rows_written: rows that this generation's refresh wrote.
        seconds: how long that took.
    """

    view: View
    relation: str
    row_count: int
    resources: int
    quarantined: int
    made: str
    rows_written: int
    seconds: float

    @property
    def table(self) -> sql.Identifier:
        """Qualified name of the table with its rows."""
        return sql.Identifier(SCHEMA, self.relation)


@dataclass(frozen=True, slots=True)
class Repairs:
    """What only the comparison of all keys found of one resource type: no poll and no `xmin` could have told.

    Attributes:
        gone: resources that are no longer there (`$expunge`).
        altered: resources that are in another state than was taken down (tags removed by `$meta-delete`).
        resources: keys of the first of them, such as `Patient/123`; at most `REPAIRS_NAMED`.
    """

    gone: int = 0
    altered: int = 0
    resources: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """All of them."""
        return self.gone + self.altered


REPAIRS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Generation:
    """All batch views as of one snapshot.

    Attributes:
        number: counts up from 1.
        kind: `full` or `incremental`.
        mark: the snapshot.
        published_at: when readers got it.
        changes: resources that were read again.
        repaired: resources that only the comparison of all keys found.
        views: by name.
        repairs: what these were, by resource type; types without any are left out.
    """

    number: int
    kind: str
    mark: SnapshotMark
    published_at: datetime
    changes: int
    repaired: int
    views: Mapping[str, PublishedView]
    repairs: Mapping[str, Repairs] = field(default_factory=dict)

    @property
    def valid_as_of(self) -> datetime:
        """Everything committed in HAPI by then is in."""
        return self.mark.taken_at

    @property
    def types(self) -> frozenset[str]:
        """Resource types that its views look at."""
        return frozenset(published.view.resource for published in self.views.values())


def published(connection: Connection, *, below: int | None = None) -> Generation | None:
    """The newest generation that this connection's snapshot sees; None before the first.

    Args:
        connection: in the reader's snapshot.
        below: leave out those from this number on, to know what a generation changed; its tables may be gone.
    """
    if not installed(connection):
        return None
    row = connection.execute(_NEWEST, {"below": below}).fetchone()
    if row is None:
        return None
    number, kind, mark, published_at, changes, repaired, repairs = row
    views = {name: _view(row) for name, *row in connection.execute(_VIEWS, {"generation": number})}
    by_type = {kind: Repairs(each["gone"], each["altered"], tuple(each["resources"])) for kind, each in repairs.items()}
    return Generation(number, kind, SnapshotMark.parse(mark), published_at, changes, repaired, views, by_type)


def published_digests(connection: Connection) -> dict[str, str]:
    """Digest of each view of the newest generation, by name; empty before the first. Reads no definition."""
    if not installed(connection):
        return {}
    return dict(connection.execute(_DIGESTS).fetchall())


def installed(connection: Connection) -> bool:
    """Whether the schema's tables are there."""
    row = connection.execute("SELECT to_regclass('sqlonfhir.generation') IS NOT NULL").fetchone()
    return bool(row and row[0])


def record(connection: Connection, generation: Generation, started_at: datetime) -> None:
    """Write the rows that make a generation the published one, once its transaction commits."""
    connection.execute(
        _INSERT_GENERATION,
        {
            "generation": generation.number,
            "kind": generation.kind,
            "mark": str(generation.mark),
            "valid_as_of": generation.valid_as_of,
            "started_at": started_at,
            "published_at": generation.published_at,
            "changes": generation.changes,
            "repaired": generation.repaired,
            "repairs": psycopg.types.json.Jsonb({kind: asdict(each) for kind, each in generation.repairs.items()}),
        },
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            _INSERT_VIEW, [_row(generation.number, published_view) for published_view in generation.views.values()]
        )


def _view(row: list[Any]) -> PublishedView:
    (
        resource,
        digest,
        relation,
        made,
        row_count,
        resources,
        quarantined,
        rows_written,
        seconds,
        columns,
        complete_body,
        statement,
        definition,
    ) = row
    view = View(
        name=definition["name"],
        resource=resource,
        columns=tuple(Column(**column) for column in columns),
        digest=digest,
        statement=statement,
        complete_body=complete_body,
        description=definition.get("description") or "",
        definition=definition,
    )
    return PublishedView(view, relation, row_count, resources, quarantined, made, rows_written, seconds)


def _row(generation: int, published_view: PublishedView) -> dict[str, Any]:
    view = published_view.view
    return {
        "generation": generation,
        "view": view.name,
        "resource_type": view.resource,
        "digest": view.digest,
        "relation": published_view.relation,
        "made": published_view.made,
        "row_count": published_view.row_count,
        "resources": published_view.resources,
        "quarantined": published_view.quarantined,
        "rows_written": published_view.rows_written,
        "seconds": published_view.seconds,
        "columns": psycopg.types.json.Jsonb([asdict(column) for column in view.columns]),
        "complete_body": view.complete_body,
        "statement": view.statement,
        "definition": psycopg.types.json.Jsonb(dict(view.definition), dumps=_dumps),
    }


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)


# Readers may come before the first refresh that adds the column `repairs`.
_NEWEST = """
SELECT generation, kind, mark, published_at, changes, repaired, coalesce(to_jsonb(g) -> 'repairs', '{}')
  FROM sqlonfhir.generation g
 WHERE %(below)s::bigint IS NULL OR generation < %(below)s
 ORDER BY generation DESC LIMIT 1"""

_VIEWS = """
SELECT view, resource_type, digest, relation, made, row_count, resources, quarantined, rows_written, seconds, columns,
       complete_body, statement, definition
  FROM sqlonfhir.generation_view WHERE generation = %(generation)s ORDER BY view"""

_DIGESTS = """
SELECT view, digest FROM sqlonfhir.generation_view
 WHERE generation = (SELECT max(generation) FROM sqlonfhir.generation)"""

_INSERT_GENERATION = """
INSERT INTO sqlonfhir.generation (generation, kind, mark, valid_as_of, started_at, published_at, changes, repaired,
       repairs)
VALUES (%(generation)s, %(kind)s, %(mark)s, %(valid_as_of)s, %(started_at)s, %(published_at)s, %(changes)s,
       %(repaired)s, %(repairs)s)"""

_INSERT_VIEW = """
INSERT INTO sqlonfhir.generation_view (generation, view, resource_type, digest, relation, made, row_count, resources,
       quarantined, rows_written, seconds, columns, complete_body, statement, definition)
VALUES (%(generation)s, %(view)s, %(resource_type)s, %(digest)s, %(relation)s, %(made)s, %(row_count)s, %(resources)s,
       %(quarantined)s, %(rows_written)s, %(seconds)s, %(columns)s, %(complete_body)s, %(statement)s,
       %(definition)s)"""
