"""The views of a deployment: their files, what is published of them, and the tables left of removed ones.

Not here: how views are made (`refresh.py`) and whether the pipeline is healthy (`operations/status.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import kwargs_row

from lambda_pipeline.batch.generation import SCHEMA, PublishedView, installed, published
from lambda_pipeline.batch.refresh import refresh_lock
from lambda_pipeline.batch.wanted_views import wanted_views
from lambda_pipeline.database import Connection, Database
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.views import BrokenFile, View


class ViewState(StrEnum):
    """A view's file compared with the published generation.

    `published`: the definitions are equal. `changed`: they differ, and the next refresh rebuilds the view. `new`: the
    next refresh builds it. `retired`: its file was removed; its tables stay until they are dropped. `broken`: its file
    does not compile; what is published goes on, and refreshes keep it up to date.
    """

    PUBLISHED = "published"
    CHANGED = "changed"
    NEW = "new"
    RETIRED = "retired"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One view: its file, and what the database holds of it.

    Attributes:
        name: of the view.
        resource: resource type of the view; empty for a broken file of which nothing is published.
        state: see `ViewState`.
        digest: of the published definition, or of the file's where nothing is published; empty where neither is known.
        generation: number of the newest generation that holds it; None for a new view.
        build_kind: `full` or `incremental`; empty for a new view.
        rows: number of rows in that generation.
        resources: number of resources of its type in that generation.
        quarantined: number of resources without rows because they cannot be read.
        seconds: how long that generation's refresh took for it.
    """

    name: str
    resource: str
    state: ViewState
    digest: str
    generation: int | None = None
    build_kind: str = ""
    rows: int = 0
    resources: int = 0
    quarantined: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As part of `status --json`, where `build_kind` is called `made`."""
        return {"made" if name == "build_kind" else name: value for name, value in asdict(self).items()}


def view_statuses(connection: Connection, views: Sequence[View], broken: Sequence[BrokenFile] = ()) -> list[ViewStatus]:
    """Read the status of every view that has a file, is in the published generation, or still has tables; by name."""
    files = {view.name: view for view in views}
    found = {file.view: ViewStatus(file.view, "", ViewState.BROKEN, "") for file in broken}
    found |= {name: ViewStatus(name, view.resource, ViewState.NEW, view.digest) for name, view in files.items()}
    found |= {status.name: status for status in _with_tables(connection) if status.name not in files}
    generation = published(connection)
    if generation is not None:
        found |= {
            name: _published_status(view, files.get(name), generation.number) for name, view in generation.views.items()
        }
        for each in wanted_views(generation, views, broken):
            if each.problem and each.name in found:
                found[each.name] = replace(found[each.name], state=ViewState.BROKEN)
    return [found[name] for name in sorted(found)]


def drop_retired(database: Database, name: str, views: Iterable[View]) -> list[str]:
    """Drop the tables of a view whose file was removed.

    Args:
        database: HAPI's database.
        name: name of the view.
        views: the views that have files.

    Returns:
        Names of the dropped tables.

    Raises:
        BadRequestError: the view is in use or unknown, or other database objects depend on its tables.
        RefreshInProgressError: a refresh is running.
    """
    for view in views:
        if view.name == name:
            raise BadRequestError(
                f"view {name} is defined by {view.file}", hint="remove that file and run a refresh before dropping it"
            )
    with (
        database.connect() as connection,
        refresh_lock(connection, message="a refresh is running", hint="try again when it is over"),
    ):
        try:
            with connection.transaction():
                return _drop(connection, name)
        except psycopg.errors.DependentObjectsStillExist:
            raise BadRequestError(
                f"other database objects depend on {SCHEMA}.{name}", hint="drop those first"
            ) from None


def _drop(connection: Connection, name: str) -> list[str]:
    generation = published(connection)
    if generation is not None and name in generation.views:
        raise BadRequestError(
            f"generation {generation.number} still holds view {name}", hint="run lambda-pipeline refresh first"
        )
    tables = _table_names(connection, name)
    if not tables:
        left = ", ".join(status.name for status in _with_tables(connection)) or "none"
        raise BadRequestError(f"there is no retired view {name}", hint=f"views with tables: {left}")
    connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, table)))
    return tables


def _table_names(connection: Connection, view: str) -> list[str]:
    if not installed(connection):
        return []
    return [name for (name,) in connection.execute(_TABLE_NAMES, {"view": view})]


def _with_tables(connection: Connection) -> list[ViewStatus]:
    """The newest state of every view that was published and still has a table, as if it were retired."""
    if not installed(connection):
        return []
    cursor = connection.cursor(row_factory=kwargs_row(partial(ViewStatus, state=ViewState.RETIRED)))
    return cursor.execute(_WITH_TABLES).fetchall()


def _published_status(known: PublishedView, file: View | None, generation: int) -> ViewStatus:
    if file is None:
        state = ViewState.RETIRED
    else:
        state = ViewState.PUBLISHED if file.digest == known.view.digest else ViewState.CHANGED
    return ViewStatus(
        name=known.view.name,
        resource=known.view.resource,
        state=state,
        digest=known.view.digest,
        generation=generation,
        build_kind=known.build_kind,
        rows=known.row_count,
        resources=known.resources,
        quarantined=known.quarantined,
        seconds=known.seconds,
    )


_TABLE_NAMES = """
SELECT DISTINCT relation FROM sqlonfhir.generation_view
 WHERE view = %(view)s AND to_regclass(format('sqlonfhir.%%I', relation)) IS NOT NULL ORDER BY relation"""

_WITH_TABLES = """
SELECT DISTINCT ON (view) view AS name, resource_type AS resource, digest, generation, made AS build_kind,
       row_count AS rows, resources, quarantined, seconds
  FROM sqlonfhir.generation_view
 WHERE to_regclass(format('sqlonfhir.%I', relation)) IS NOT NULL
 ORDER BY view, generation DESC"""
