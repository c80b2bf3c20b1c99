"""The views of a deployment: what their files say, what is published, and what is left of those that were removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import SCHEMA, PublishedView, installed, published
from lambda_pipeline.batch.refresh import REFRESH_LOCK
from lambda_pipeline.database import Connection, Database
from lambda_pipeline.errors import BadRequestError, RefreshInProgressError
from lambda_pipeline.views.view import View


class ViewState(StrEnum):
    """How a view's file and the published generation go together.

    `published`: both say the same. `changed`: the file says something else, the next refresh rebuilds it. `new`: the
    next refresh builds it. `retired`: its file is gone; its tables stay until somebody drops them.
    """

    PUBLISHED = "published"
    CHANGED = "changed"
    NEW = "new"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One view, as files and database know it.

    Attributes:
        name: of the view.
        resource: type it looks at.
        state: see `ViewState`.
        digest: of the published definition, or of the file's where nothing is published.
        generation: number of the newest generation that holds it; None for a new view.
        made: `full` or `incremental`; empty for a new view.
        rows: rows in that generation.
        resources: resources of its type then.
        quarantined: resources without rows because they cannot be read.
        seconds: how long that generation's refresh took for it.
    """

    name: str
    resource: str
    state: ViewState
    digest: str
    generation: int | None = None
    made: str = ""
    rows: int = 0
    resources: int = 0
    quarantined: int = 0
    seconds: float = 0.0


def view_statuses(connection: Connection, views: Sequence[View]) -> list[ViewStatus]:
    """Every view that has a file, a place in the published generation, or tables left; by name."""
    files = {view.name: view for view in views}
    generation = published(connection)
    held = generation.views if generation else {}
    found = {name: ViewStatus(name, view.resource, ViewState.NEW, view.digest) for name, view in files.items()}
    for status in _with_tables(connection):
        if status.name not in files:
            found[status.name] = status
    for name, known in held.items():
        assert generation is not None
        found[name] = _published(known, files.get(name), generation.number)
    return [found[name] for name in sorted(found)]


def drop_retired(database: Database, name: str, views: Iterable[View]) -> list[str]:
    """Drop everything that is left of a view whose file was removed.

    Args:
        database: HAPI's database.
        name: of the view.
        views: the views that have files.

    Returns:
        Names of the dropped tables.

    Raises:
        BadRequestError: the view is in use, is unknown, or other database objects stand upon it.
        RefreshInProgressError: a refresh is running.
    """
    for view in views:
        if view.name == name:
            raise BadRequestError(
                f"view {name} is defined by {view.file}", hint="remove that file and run a refresh before dropping it"
            )
    with database.connect() as connection:
        _lock(connection)
        try:
            with connection.transaction():
                return _drop(connection, name)
        except psycopg.errors.DependentObjectsStillExist:
            raise BadRequestError(
                f"other database objects depend on {SCHEMA}.{name}", hint="drop those first"
            ) from None
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(%(key)s)", {"key": REFRESH_LOCK})


def _lock(connection: Connection) -> None:
    row = connection.execute("SELECT pg_try_advisory_lock(%(key)s)", {"key": REFRESH_LOCK}).fetchone()
    if not (row and row[0]):
        raise RefreshInProgressError("a refresh is running", hint="try again when it is over")


def _drop(connection: Connection, name: str) -> list[str]:
    generation = published(connection)
    if generation is not None and name in generation.views:
        raise BadRequestError(
            f"generation {generation.number} still holds view {name}", hint="run lambda-pipeline refresh first"
        )
    relations = _relations(connection, name)
    if not relations:
        left = ", ".join(status.name for status in _with_tables(connection)) or "none"
        raise BadRequestError(f"there is no retired view {name}", hint=f"views with tables: {left}")
    connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))
    for relation in relations:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, relation)))
    return relations


def _relations(connection: Connection, name: str) -> list[str]:
    if not installed(connection):
        return []
    return [relation for (relation,) in connection.execute(_RELATIONS, {"view": name})]


def _with_tables(connection: Connection) -> list[ViewStatus]:
    """The newest state of every view that was ever published and still has a table, as if it were retired."""
    if not installed(connection):
        return []
    rows: Iterable[tuple[Any, ...]] = connection.execute(_WITH_TABLES)
    return [
        ViewStatus(name, resource, ViewState.RETIRED, digest, generation, made, row_count, resources, quarantined, took)
        for name, resource, digest, generation, made, row_count, resources, quarantined, took in rows
    ]


def _published(known: PublishedView, file: View | None, generation: int) -> ViewStatus:
    if file is None:
        state = ViewState.RETIRED
    else:
        state = ViewState.PUBLISHED if file.digest == known.view.digest else ViewState.CHANGED
    return ViewStatus(
        known.view.name,
        known.view.resource,
        state,
        known.view.digest,
        generation,
        known.made,
        known.row_count,
        known.resources,
        known.quarantined,
        known.seconds,
    )


_RELATIONS = """
SELECT DISTINCT relation FROM sqlonfhir.generation_view
 WHERE view = %(view)s AND to_regclass(format('sqlonfhir.%%I', relation)) IS NOT NULL ORDER BY relation"""

_WITH_TABLES = """
SELECT DISTINCT ON (view) view, resource_type, digest, generation, made, row_count, resources, quarantined, seconds
  FROM sqlonfhir.generation_view
 WHERE to_regclass(format('sqlonfhir.%I', relation)) IS NOT NULL
 ORDER BY view, generation DESC"""
