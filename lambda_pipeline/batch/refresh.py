"""A refresh: all views as of one snapshot, published by one commit.

A view that is new or whose definition changed is built into a table of its own. The others get new rows, in place, for
the resources that changed since the last generation's snapshot. Readers that began before keep their rows, since
PostgreSQL keeps the old row versions for them.

Which resources changed is decided in `source/changes.py` and `key_comparison.py`. The next poll prunes the overlay.
The argument: docs/guarantees.md, "A generation is one snapshot".
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.fill import Filler
from lambda_pipeline.batch.generation import SCHEMA, Generation, PublishedView, Repairs, published, record
from lambda_pipeline.batch.key_comparison import (
    ChangedResource,
    compare_keys,
    record_changed_keys,
    record_keys,
    repairs_by_type,
)
from lambda_pipeline.database import Connection, Database, fetch_one, reason
from lambda_pipeline.errors import RefreshError, RefreshInProgressError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import HapiSource, SnapshotMark, by_key, changes_since, marked_snapshot, open_tables
from lambda_pipeline.source.wal import commit_durably
from lambda_pipeline.views.view import RESERVED_NAMES, View

logger = logging.getLogger(__name__)

REFRESH_LOCK = 7_046_029_254_386_353_132
"""Advisory lock that is held by a refresh, from before its snapshot until after its publication."""


def refresh(database: Database, views: Sequence[View], settings: Settings, *, full: bool = False) -> Generation:
    """Build or refresh every view from one snapshot and publish them together.

    Args:
        database: HAPI's database, which also holds the batch schema.
        views: all views; a view of the last generation that is not among them is retired: its table stays.
        settings: chunk size, lock timeout, HAPI's schema and time zone.
        full: build everything, whatever the last generation holds.

    Returns:
        The generation that is now published.

    Raises:
        RefreshInProgressError: another refresh is running.
        RefreshError: a view could not be made; nothing was published and the last generation is unchanged.
        HapiUnavailableError: the database cannot be reached.
        SourceError: HAPI's tables are missing or cannot be read.
        SourceBusyError: the shape of HAPI's tables is being changed.
    """
    clashes = [view.name for view in views if view.name.lower() in RESERVED_NAMES]
    if clashes:
        raise RefreshError(f"view {clashes[0]}: the name is taken in schema {SCHEMA}", hint="rename the view")
    try:
        with database.connect() as connection:
            view_tables.install(connection)
            with refresh_lock(connection, timeout_s=settings.refresh_lock_timeout_s):
                generation = _publish(connection, views, settings, full=full)
                view_tables.drop_superseded(connection)
    except psycopg.Error as error:
        raise RefreshError(f"the refresh failed: {reason(error)}", hint="the last generation is unchanged") from error
    return generation


@contextmanager
def refresh_lock(
    connection: Connection,
    *,
    timeout_s: float = 0.0,
    message: str = "another refresh is running",
    hint: str = "wait for it, or ask again",
) -> Iterator[None]:
    """Hold the lock that only one refresh can hold, for the `with` block.

    It is taken before the snapshot of a refresh: waiting inside a snapshot would mean refreshing from an old one.

    Args:
        connection: not in a transaction.
        timeout_s: how long to wait for the lock.
        message: of the error.
        hint: of the error.

    Raises:
        RefreshInProgressError: the lock is held by another connection.
    """
    deadline = time.monotonic() + timeout_s
    while fetch_one(connection, "SELECT pg_try_advisory_lock(%(key)s)", {"key": REFRESH_LOCK}) != (True,):
        if time.monotonic() >= deadline:
            raise RefreshInProgressError(message, hint=hint)
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%(key)s)", {"key": REFRESH_LOCK})


def _publish(connection: Connection, views: Sequence[View], settings: Settings, *, full: bool) -> Generation:
    source = HapiSource.of(settings)
    with marked_snapshot(connection, read_only=False, source=source) as mark:
        commit_durably(connection)
        connection.execute("SET LOCAL jit = off")
        connection.execute("SET LOCAL work_mem = '64MB'")
        last = published(connection)
        tables = open_tables(connection, source, {v.resource for v in views})
        filler = Filler(connection, tables, settings.build_chunk_rows)
        # Rows of a generation that this snapshot cannot be compared with may be other ones now: build everything.
        broken = last.mark.find_break(mark) if last else ""
        if broken and not full:
            logger.warning("full refresh: %s", broken)
        usable = None if full or broken else last
        return _Refresh(connection, filler, mark, usable, last.number + 1 if last else 1).publish(views)


@dataclass(frozen=True, slots=True)
class _Refresh:
    """One refresh inside its snapshot; `last` is the generation to update, None for a full build."""

    connection: Connection
    filler: Filler
    mark: SnapshotMark
    last: Generation | None
    number: int

    def publish(self, views: Sequence[View]) -> Generation:
        types = {view.resource for view in views}
        known = self.last.types & types if self.last else frozenset()
        changed, repairs = self._find_changes(known)
        resources = self._count_resources(types)
        made = {
            view.name: self._build_or_update(view, changed.get(view.resource, ()), resources[view.resource])
            for view in sorted(views, key=lambda view: view.name)
        }
        record_keys(self.connection, self.filler.tables, types - known)
        record_changed_keys(self.connection, self.filler.tables, changed)
        self.connection.execute(_RETIRE, {"views": sorted(made)})
        (published_at,) = fetch_one(self.connection, "SELECT clock_timestamp()")
        generation = Generation(
            number=self.number,
            build_kind="incremental" if self.last else "full",
            mark=self.mark,
            published_at=published_at,
            changes=sum(map(len, changed.values())),
            repaired=sum(each.count for each in repairs.values()),
            views=made,
            repairs=repairs,
        )
        record(self.connection, generation, started_at=self.mark.taken_at)
        return generation

    def _find_changes(self, types: frozenset[str]) -> tuple[dict[str, list[ChangedResource]], dict[str, Repairs]]:
        """Resources that changed since the last generation, by type, and those that only their keys show."""
        if self.last is None or not types:
            return {}, {}
        tables = self.filler.tables
        changed = {resource.key: resource for resource in compare_keys(self.connection, tables, types)}
        unseen = changes_since(self.connection, tables, types, self.last.mark)
        seen = {change.key for change in unseen}
        # What xmin shows is not a repair, and its current state decides: it may be a delete.
        repairs = repairs_by_type(resource for key, resource in changed.items() if key not in seen)
        for change in by_key(self.connection, tables, unseen):
            changed[change.key] = ChangedResource(change.key, None if change.deleted else change.res_id)
        by_type: dict[str, list[ChangedResource]] = {resource_type: [] for resource_type in types}
        for key in sorted(changed):
            by_type[key.type].append(changed[key])
        return by_type, repairs

    def _count_resources(self, types: set[str]) -> dict[str, int]:
        rows = self.connection.execute(self.filler.tables.compose(_COUNTS), {"types": sorted(types)}).fetchall()
        return dict.fromkeys(types, 0) | dict(rows)

    def _build_or_update(self, view: View, changed: Sequence[ChangedResource], resources: int) -> PublishedView:
        before = self.last.views.get(view.name) if self.last else None
        try:
            if before is None or before.view.digest != view.digest:
                return self._build(view, resources)
            return self._update(view, before, changed, resources)
        except psycopg.Error as error:
            raise RefreshError(
                f"view {view.name}: {reason(error)}",
                hint="nothing was published; every view keeps its last generation",
            ) from error

    def _build(self, view: View, resources: int) -> PublishedView:
        began = time.monotonic()
        # A new name: a snapshot from before the publication never looks into this table, where it would see no rows.
        table_name = view_tables.table_name(view.name, self.number)
        table = sql.Identifier(SCHEMA, table_name)
        view_tables.create(self.connection, view, table)
        flattened = self.filler.fill(view, table, what="full build")
        view_tables.finish(self.connection, view, table)
        view_tables.expose(self.connection, view, table)
        quarantined = view_tables.replace_quarantine(
            self.connection, view, self.number, flattened.unreadable, read_again=None
        )
        seconds = time.monotonic() - began
        logger.info("%s: built %d rows from %d resources in %.1f s", view.name, flattened.rows, resources, seconds)
        return PublishedView(
            view=view,
            table_name=table_name,
            row_count=flattened.rows,
            resources=resources,
            quarantined=quarantined,
            build_kind="full",
            rows_written=flattened.rows,
            seconds=seconds,
        )

    def _update(
        self, view: View, before: PublishedView, changed: Sequence[ChangedResource], resources: int
    ) -> PublishedView:
        began = time.monotonic()
        keys = [resource.key for resource in changed]
        deleted = view_tables.delete(self.connection, before.table, keys)
        living = [resource.res_id for resource in changed if resource.res_id is not None]
        flattened = self.filler.fill_resources(view, before.table, living)
        quarantined = view_tables.replace_quarantine(
            self.connection, view, self.number, flattened.unreadable, read_again=keys
        )
        rows = before.row_count - deleted + flattened.rows
        seconds = time.monotonic() - began
        logger.info("%s: %d changed resources, %d rows now, in %.1f s", view.name, len(changed), rows, seconds)
        return replace(
            before,
            view=view,
            row_count=rows,
            resources=resources,
            quarantined=quarantined,
            build_kind="incremental",
            rows_written=flattened.rows,
            seconds=seconds,
        )


_COUNTS = """
SELECT res_type::text, count(*) FROM {resources}
 WHERE res_type = ANY (%(types)s) AND res_deleted_at IS NULL GROUP BY res_type"""

_RETIRE = "DELETE FROM sqlonfhir.quarantine WHERE view <> ALL (%(views)s)"
