"""Changed resources become overlay entries: the views of their type run over them, page by page.

A body is read and parsed once per page, whatever the number of views: one statement runs all of them over one
materialized relation. Only where that fails on a value are the views run one by one, on the single resource that is to
blame. The argument: docs/guarantees.md, "One compiler, two layers" and "One bad resource stops only itself".
"""

from collections.abc import Mapping, Sequence
from functools import partial

from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source import (
    Change,
    HapiTables,
    ResourceKey,
    ResourceRange,
    ResourceRelation,
    Unreadable,
    flatten,
)
from lambda_pipeline.source.blame import Blame
from lambda_pipeline.speed.entry import Entry, in_pages, rows_as_text
from lambda_pipeline.views.narrowing import first_columns
from lambda_pipeline.views.view import View


def flatten_changes(
    connection: Connection, tables: HapiTables, views: Mapping[str, View], changes: Sequence[Change], page_rows: int
) -> list[Entry]:
    """Flatten changed resources for every view of their type.

    Args:
        connection: in the snapshot that decides what is read.
        tables: HAPI's tables.
        views: by `rows_key`.
        changes: what to capture.
        page_rows: resources flattened in one statement.
    """
    entries: list[Entry] = []
    for resource_type in sorted({change.key.type for change in changes}):
        of_type = [change for change in changes if change.key.type == resource_type]
        living = [change.res_id for change in of_type if not change.deleted]
        page = _Page(connection, tables, resource_type, {n: v for n, v in views.items() if v.resource == resource_type})
        for res_ids in in_pages(living, page_rows):
            page.read(res_ids)
        entries += [page.entry(change) for change in of_type]
    return entries


def flatten_rows(
    connection: Connection, tables: HapiTables, view: View, res_ids: tuple[int, ...]
) -> tuple[dict[ResourceKey, str], tuple[Unreadable, ...]]:
    """One view's rows of these resources, as JSON text by key (`entry.text_rows`), and what could not be read."""
    rows: dict[ResourceKey, str] = {}

    def keep(relation: ResourceRelation) -> int:
        found = connection.execute(rows_as_text(view, relation), dict(relation.parameters)).fetchall()
        rows.update({ResourceKey(partition, view.resource, logical_id): text for partition, logical_id, text in found})
        return len(found)

    scope = ResourceRange(res_ids=res_ids)
    blame = Blame(connection, view, partial(first_columns, view))
    flattened = flatten(connection, tables, view.resource, scope, keep, complete=view.complete_body, blame=blame)
    return rows, flattened.unreadable


class _Page:
    """What was read of the changed resources of one type: bodies, rows by view, and what could not be read.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        resource_type: of all resources.
        views: those of the type, by `rows_key`.
    """

    def __init__(
        self, connection: Connection, tables: HapiTables, resource_type: str, views: Mapping[str, View]
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._resource_type = resource_type
        self._views = views
        self._blames = {name: Blame(connection, view, partial(first_columns, view)) for name, view in views.items()}
        self._bodies: dict[ResourceKey, str] = {}
        self._rows: dict[str, dict[ResourceKey, str]] = {name: {} for name in views}
        self._unreadable: dict[ResourceKey, dict[str, Unreadable]] = {}

    def read(self, res_ids: tuple[int, ...]) -> None:
        """Read these resources: all views at once, and each view alone for a resource on which one of them fails."""
        for found in self._run(res_ids, self._views, with_bodies=True):
            if not found.sqlstate:  # the body cannot be had, so no view can be run
                self._unreadable[found.key] = dict.fromkeys(self._views, found)
                continue
            alone = (found.res_id,)
            self._run(alone, {}, with_bodies=True)
            for name, view in self._views.items():
                for failed in self._run(alone, {name: view}, with_bodies=False, blame=self._blames[name]):
                    self._unreadable.setdefault(failed.key, {})[name] = failed

    def entry(self, change: Change) -> Entry:
        """The entry of one changed resource, once it was read; a deleted one was not, and has no rows."""
        return Entry(
            change,
            rows={name: of_view[change.key] for name, of_view in self._rows.items() if change.key in of_view},
            unreadable=self._unreadable.get(change.key, {}),
            body=self._bodies.get(change.key),
        )

    def _run(
        self, res_ids: tuple[int, ...], views: Mapping[str, View], *, with_bodies: bool, blame: Blame | None = None
    ) -> tuple[Unreadable, ...]:
        def keep(relation: ResourceRelation) -> int:
            statement = _all_at_once(views, relation, with_bodies=with_bodies)
            found = self._connection.execute(statement, dict(relation.parameters)).fetchall()
            for name, partition, logical_id, text in found:
                kept = self._bodies if name is None else self._rows[name]
                kept[ResourceKey(partition, self._resource_type, logical_id)] = text
            return len(found)

        # Complete bodies serve every view: one that reads neither id nor meta gives the same rows over them.
        scope = ResourceRange(res_ids=res_ids)
        flattened = flatten(
            self._connection, self._tables, self._resource_type, scope, keep, complete=True, blame=blame
        )
        return flattened.unreadable


def _all_at_once(views: Mapping[str, View], relation: ResourceRelation, *, with_bodies: bool) -> sql.Composed:
    """A SELECT of `name, _partition, _id, text`: rows of each view by its name, and bodies under NULL."""
    page = ResourceRelation(sql.SQL("SELECT * FROM _page"), {})
    parts: list[sql.Composable] = [sql.SQL(_BODIES)] if with_bodies else []
    parts += [
        sql.SQL(_ROWS).format(name=sql.Literal(name), rows=rows_as_text(view, page)) for name, view in views.items()
    ]
    return sql.SQL(_TOGETHER).format(relation=relation.query, parts=sql.SQL("\nUNION ALL\n").join(parts))


# MATERIALIZED: each body is detoasted and parsed once, not once per view.
_TOGETHER = "WITH _page AS MATERIALIZED ({relation}\n)\n{parts}"
_BODIES = "SELECT NULL::text, partition, id, body::text FROM _page"
_ROWS = "SELECT {name}::text, found.* FROM ({rows}) AS found"
