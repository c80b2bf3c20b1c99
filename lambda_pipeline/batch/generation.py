"""The published generation: read in the reader's own snapshot, and recorded by a refresh.

How a generation is made stands in `refresh.py`, the tables of its rows in `view_tables.py`.
The argument: docs/guarantees.md, "A generation is one snapshot".
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.errors import GenerationUnreadableError
from lambda_pipeline.source.snapshot import SnapshotMark
from lambda_pipeline.source.type_digests import TypeDigest
from lambda_pipeline.views.view import RELATION_PLACEHOLDER, Column, View

SCHEMA = "sqlonfhir"
"""PostgreSQL schema of the batch layer, in HAPI's database."""


@dataclass(frozen=True, slots=True)
class PublishedView:
    """One view in one generation.

    Attributes:
        view: as it was compiled for this generation; its file may have changed since.
        table_name: name of the table with its rows, in `SCHEMA`.
        row_count: number of rows in it.
        resources: number of living resources of its type, with or without rows.
        quarantined: number of resources without rows because they cannot be read.
        build_kind: `full` or `incremental`.
        rows_written: number of rows that the refresh wrote.
        seconds: how long the refresh took for this view.
    """

    view: View
    table_name: str
    row_count: int
    resources: int
    quarantined: int
    build_kind: str
    rows_written: int
    seconds: float

    @property
    def table(self) -> sql.Identifier:
        """Qualified name of the table with its rows."""
        return sql.Identifier(SCHEMA, self.table_name)


@dataclass(frozen=True, slots=True)
class Repairs:
    """What only the comparison of all keys found for one resource type; no poll and no `xmin` can show it.

    Attributes:
        gone: number of resources that no longer exist (`$expunge`).
        altered: number of resources whose fingerprint is not the recorded one (tags removed by `$meta-delete`).
        resources: keys of the first of them, such as `Patient/123`; at most `REPAIRS_NAMED`.
    """

    gone: int = 0
    altered: int = 0
    resources: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of all of them."""
        return self.gone + self.altered


REPAIRS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Generation:
    """All batch views as of one snapshot.

    Attributes:
        number: counts up from 1.
        build_kind: `full` or `incremental`.
        mark: the snapshot.
        published_at: when it was published.
        changes: number of resources that were read again.
        repaired: number of resources that only the comparison of all keys found.
        views: by name.
        repairs: the repaired resources by resource type; types without any are left out.
        failures: why a view is not as its file defines it, by name. A view that is in `views` all the same has its
            last published definition, as of this snapshot; another one has no rows in this generation.
        digests: of the living resources, by resource type; one that is missing is not known.
    """

    number: int
    build_kind: str
    mark: SnapshotMark
    published_at: datetime
    changes: int
    repaired: int
    views: Mapping[str, PublishedView]
    repairs: Mapping[str, Repairs] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, TypeDigest] = field(default_factory=dict)

    @property
    def valid_as_of(self) -> datetime:
        """Everything that was committed in HAPI by this time is in the generation."""
        return self.mark.taken_at

    @property
    def types(self) -> frozenset[str]:
        """Resource types of its views."""
        return frozenset(published.view.resource for published in self.views.values())


def published(connection: Connection, *, below: int | None = None) -> Generation | None:
    """Read the newest generation that this connection's snapshot sees; None before the first.

    Args:
        connection: in the reader's snapshot.
        below: only generations with a lower number than this one, to see what it changed; their tables may be gone.

    Raises:
        GenerationUnreadableError: what is recorded of it is not what a refresh writes.
    """
    if not installed(connection):
        return None
    cursor = connection.cursor(row_factory=dict_row)
    newest = cursor.execute(_NEWEST, {"below": below}).fetchone()
    if newest is None:
        return None
    rows = cursor.execute(_VIEWS, {"generation": newest["number"]}).fetchall()
    try:
        return _generation(newest, rows)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise GenerationUnreadableError(
            f"the record of generation {newest.get('number')} is not what a refresh writes",
            hint=f"restore schema {SCHEMA} from a backup, or drop it and run lambda-pipeline refresh",
        ) from None


def _generation(newest: DictRow, rows: Sequence[DictRow]) -> Generation:
    mark, repairs, digests = SnapshotMark.parse(newest.pop("mark")), newest.pop("repairs"), newest.pop("digests")
    return Generation(
        **newest,
        mark=mark,
        views={row["view"]: _published_view(row) for row in rows},
        repairs={
            resource_type: Repairs(each["gone"], each["altered"], tuple(each["resources"]))
            for resource_type, each in repairs.items()
        },
        digests={resource_type: TypeDigest(**each) for resource_type, each in digests.items()},
    )


def published_before(connection: Connection, names: Collection[str]) -> dict[str, View]:
    """The newest definition that any generation held of these views, by name; a view without one is missing."""
    cursor = connection.cursor(row_factory=dict_row)
    rows = cursor.execute(_NEWEST_DEFINITIONS, {"views": sorted(names)})
    return {row["view"]: _published_view(row).view for row in rows}


def published_digests(connection: Connection) -> dict[str, str]:
    """Digest of each view of the newest generation, by name; empty before the first. Reads no definition."""
    if not installed(connection):
        return {}
    return dict(connection.execute(_DIGESTS).fetchall())


def installed(connection: Connection) -> bool:
    """Whether the tables of the batch layer's schema exist."""
    (found,) = fetch_one(connection, "SELECT to_regclass('sqlonfhir.generation') IS NOT NULL")
    return bool(found)


def record(connection: Connection, generation: Generation, started_at: datetime) -> None:
    """Write the rows that make this generation the published one when the transaction commits."""
    connection.execute(
        _INSERT_GENERATION,
        {
            "generation": generation.number,
            "build_kind": generation.build_kind,
            "mark": str(generation.mark),
            "valid_as_of": generation.valid_as_of,
            "started_at": started_at,
            "published_at": generation.published_at,
            "changes": generation.changes,
            "repaired": generation.repaired,
            "repairs": Jsonb({name: asdict(each) for name, each in generation.repairs.items()}),
            "failures": Jsonb(dict(generation.failures)),
            "digests": Jsonb({name: asdict(each) for name, each in generation.digests.items()}),
        },
    )
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT_VIEW, [_parameters(generation.number, view) for view in generation.views.values()])


def _published_view(row: DictRow) -> PublishedView:
    definition = row["definition"]
    if row["statement"].count(RELATION_PLACEHOLDER) != 1 or not row["columns"]:
        raise ValueError("not a compiled view")
    view = View(
        name=definition["name"],
        resource=row["resource_type"],
        columns=tuple(Column(**column) for column in row["columns"]),
        digest=row["digest"],
        statement=row["statement"],
        complete_body=row["complete_body"],
        description=definition.get("description") or "",
        definition=definition,
    )
    return PublishedView(view=view, **{name: row[name] for name in _VIEW_FIELDS})


def _parameters(generation: int, published_view: PublishedView) -> dict[str, Any]:
    view = published_view.view
    return {
        "generation": generation,
        "view": view.name,
        "resource_type": view.resource,
        "digest": view.digest,
        "columns": Jsonb([asdict(column) for column in view.columns]),
        "complete_body": view.complete_body,
        "statement": view.statement,
        "definition": Jsonb(dict(view.definition), dumps=_dumps),
        **{name: getattr(published_view, name) for name in _VIEW_FIELDS},
    }


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)


_VIEW_FIELDS = tuple(each.name for each in fields(PublishedView) if each.name != "view")

# to_jsonb(g): readers may run before the first refresh that adds the columns `repairs`, `failures` and `digests`.
_NEWEST = """
SELECT generation AS number, kind AS build_kind, mark, published_at, changes, repaired,
       coalesce(to_jsonb(g) -> 'repairs', '{}') AS repairs, coalesce(to_jsonb(g) -> 'failures', '{}') AS failures,
       coalesce(to_jsonb(g) -> 'digests', '{}') AS digests
  FROM sqlonfhir.generation g
 WHERE %(below)s::bigint IS NULL OR generation < %(below)s
 ORDER BY generation DESC LIMIT 1"""

_COLUMNS = """
       view, resource_type, digest, relation AS table_name, made AS build_kind, row_count, resources, quarantined,
       rows_written, seconds, columns, complete_body, statement, definition
  FROM sqlonfhir.generation_view"""

_VIEWS = f"SELECT {_COLUMNS} WHERE generation = %(generation)s ORDER BY view"

_NEWEST_DEFINITIONS = f"""
SELECT DISTINCT ON (view) {_COLUMNS} WHERE view = ANY (%(views)s) ORDER BY view, generation DESC"""

_DIGESTS = """
SELECT view, digest FROM sqlonfhir.generation_view
 WHERE generation = (SELECT max(generation) FROM sqlonfhir.generation)"""

_INSERT_GENERATION = """
INSERT INTO sqlonfhir.generation (generation, kind, mark, valid_as_of, started_at, published_at, changes, repaired,
       repairs, failures, digests)
VALUES (%(generation)s, %(build_kind)s, %(mark)s, %(valid_as_of)s, %(started_at)s, %(published_at)s, %(changes)s,
       %(repaired)s, %(repairs)s, %(failures)s, %(digests)s)"""

_INSERT_VIEW = """
INSERT INTO sqlonfhir.generation_view (generation, view, resource_type, digest, relation, made, row_count, resources,
       quarantined, rows_written, seconds, columns, complete_body, statement, definition)
VALUES (%(generation)s, %(view)s, %(resource_type)s, %(digest)s, %(table_name)s, %(build_kind)s, %(row_count)s,
       %(resources)s, %(quarantined)s, %(rows_written)s, %(seconds)s, %(columns)s, %(complete_body)s, %(statement)s,
       %(definition)s)"""
