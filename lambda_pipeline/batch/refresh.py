"""A refresh: all views as of one snapshot, published by one commit.

A view that is new or whose definition changed is built into a table of its own. The others get new rows, in place, for
the resources that changed since the last generation's snapshot. Readers that began before keep their rows, since
PostgreSQL keeps the old row versions for them. Each view is made in a savepoint: one that fails does not fail the
others.

Which resources changed is decided in `source/changes.py` and `key_comparison.py`, which definitions are made in
`wanted_views.py`. The next poll prunes the overlay. The argument: docs/guarantees.md, "A generation is one snapshot"
and "One bad resource stops only itself".
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

import psycopg
from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.fill import Filler
from lambda_pipeline.batch.generation import (
    SCHEMA,
    Generation,
    PublishedView,
    Repairs,
    published,
    published_before,
    record,
)
from lambda_pipeline.batch.key_comparison import (
    ChangedResource,
    find_differences,
    record_changed_keys,
    record_keys,
    repairs_by_type,
)
from lambda_pipeline.batch.wanted_views import WantedView, wanted_views
from lambda_pipeline.database import Connection, Database, fetch_one, reason, unlimited_lock_waits
from lambda_pipeline.errors import RefreshError, RefreshInProgressError, SourceBusyError, SourceError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import (
    HapiSource,
    SnapshotMark,
    by_key,
    changes_since,
    marked_snapshot,
    open_tables,
)
from lambda_pipeline.source.blame import data_error_reason, is_data_error
from lambda_pipeline.source.type_digests import TypeDigest, take_type_digests
from lambda_pipeline.source.wal import commit_durably
from lambda_pipeline.views import BrokenFile, View
from lambda_pipeline.views.view import RESERVED_NAMES

logger = logging.getLogger(__name__)

REFRESH_LOCK = 7_046_029_254_386_353_132
"""Advisory lock that is held by a refresh, from before its snapshot until after its publication."""


def refresh(
    database: Database,
    views: Sequence[View],
    settings: Settings,
    *,
    full: bool = False,
    broken: Sequence[BrokenFile] = (),
) -> Generation:
    """Build or refresh every view from one snapshot and publish them together.

    A view that cannot be made as it is defined is made as it was published last. If that fails too, it is left out of
    the generation, so that questions over it are refused by name (`Generation.failures`).

    Args:
        database: HAPI's database, which also holds the batch schema.
        views: all views; a view of the last generation that no file defines is retired: its table stays.
        settings: chunk size, lock timeout, HAPI's schema and time zone.
        full: build everything, whatever the last generation holds.
        broken: files that do not compile; what is published of their views is refreshed.

    Returns:
        The generation that is now published.

    Raises:
        RefreshInProgressError: another refresh is running.
        RefreshError: no view could be made, or HAPI's tables can no longer be read; nothing was published and the last
            generation is unchanged.
        HapiUnavailableError: the database cannot be reached.
        SourceError: HAPI's tables are missing or cannot be read, and no generation is published yet.
        SourceBusyError: the shape of HAPI's tables is being changed.
    """
    clashes = [view.name for view in views if view.name.lower() in RESERVED_NAMES]
    if clashes:
        raise RefreshError(f"view {clashes[0]}: the name is taken in schema {SCHEMA}", hint="rename the view")
    try:
        with database.connect() as connection, unlimited_lock_waits(connection):
            view_tables.install(connection)
            with refresh_lock(connection, timeout_s=settings.refresh_lock_timeout_s), _after_the_first(connection):
                generation = _publish(connection, views, broken, settings, full=full)
                view_tables.drop_superseded(connection)
    except psycopg.Error as error:
        raise RefreshError(f"the refresh failed: {reason(error)}", hint="the last generation is unchanged") from None
    return generation


@contextmanager
def _after_the_first(connection: Connection) -> Iterator[None]:
    """Once a generation is published, tables of HAPI that cannot be read make a refresh fail; before, nothing works."""
    try:
        yield
    except SourceBusyError:
        raise
    except SourceError as error:
        if published(connection) is None:
            raise
        raise RefreshError(error.message, hint=error.hint) from None


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
    waiting = False
    while fetch_one(connection, "SELECT pg_try_advisory_lock(%(key)s)", {"key": REFRESH_LOCK}) != (True,):
        if time.monotonic() >= deadline:
            raise RefreshInProgressError(message, hint=hint)
        if not waiting:
            logger.info("%s: waiting up to %.0f s for its end", message, timeout_s)
        waiting = True
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%(key)s)", {"key": REFRESH_LOCK})


def _publish(
    connection: Connection, views: Sequence[View], broken: Sequence[BrokenFile], settings: Settings, *, full: bool
) -> Generation:
    source = HapiSource.of(settings)
    with marked_snapshot(connection, read_only=False, source=source) as mark:
        commit_durably(connection)
        connection.execute("SET LOCAL lock_timeout TO DEFAULT")
        connection.execute("SET LOCAL jit = off")
        connection.execute("SET LOCAL work_mem = '64MB'")
        last = published(connection)
        left_out = published_before(connection, last.failures.keys() - last.views.keys()) if last else {}
        wanted = wanted_views(last, views, broken, left_out)
        if last and not wanted:
            raise RefreshError(
                "there is no view definition, and the refresh would retire every view",
                hint="set LAMBDA_PIPELINE_VIEW_DEFINITIONS",
            )
        types = {view.resource for each in wanted for view in each.definitions}
        tables = open_tables(connection, source, types)
        filler = Filler(connection, tables, settings.build_chunk_rows)
        # Rows of a generation that this snapshot cannot be compared with may be other ones now: build everything.
        changed = last.mark.find_break(mark) if last else ""
        if changed and not full:
            logger.warning("full refresh: %s", changed)
        usable = None if changed else last
        number = last.number + 1 if last else 1
        return _Refresh(connection, filler, mark, usable, number, full or usable is None).publish(wanted)


@dataclass(frozen=True, slots=True)
class _Refresh:
    """One refresh inside its snapshot.

    Attributes:
        connection: in the snapshot.
        filler: fills tables in it.
        mark: of the snapshot.
        last: the generation that can be updated; None when there is none.
        number: of the generation that is made.
        full: build every view from the source, and update none that can be built.
    """

    connection: Connection
    filler: Filler
    mark: SnapshotMark
    last: Generation | None
    number: int
    full: bool

    def publish(self, wanted: Sequence[WantedView]) -> Generation:
        types = {view.resource for each in wanted for view in each.definitions}
        known = self.last.types & types if self.last else frozenset()
        digests = take_type_digests(self.connection, self.filler.tables, types)
        find_changes = cache(partial(self._find_changes, known, digests))
        if not self.full:
            find_changes()
        resources = {name: digest.resources for name, digest in digests.items()}
        made: dict[str, PublishedView] = {}
        failures: dict[str, str] = {}
        for each in wanted:
            view, failure = self._make(each, find_changes, resources)
            if view is not None:
                made[each.name] = view
            if failure:
                failures[each.name] = failure
                logger.warning("%s: %s", each.name, failure)
        if failures and not made:
            first, failure = next(iter(failures.items()))
            raise RefreshError(f"no view could be made, first {first}: {failure}", hint="nothing was published")
        made_types = {view.view.resource for view in made.values()}
        changed, repairs = self._record_keys(made_types, known, find_changes)
        self.connection.execute(_RETIRE, {"views": sorted(made)})
        (published_at,) = fetch_one(self.connection, "SELECT clock_timestamp()")
        generation = Generation(
            number=self.number,
            build_kind="full" if self.full else "incremental",
            mark=self.mark,
            published_at=published_at,
            changes=changed,
            repaired=sum(each.count for each in repairs.values()),
            views=made,
            repairs=repairs,
            failures=failures,
            digests={name: digest for name, digest in digests.items() if name in made_types},
        )
        record(self.connection, generation, started_at=self.mark.taken_at)
        return generation

    def _record_keys(
        self, types: set[str], known: frozenset[str], find_changes: Callable[[], "_Changes"]
    ) -> tuple[int, dict[str, Repairs]]:
        """Record the keys of the types that the generation holds; how many changed, and what only their keys show."""
        if self.full:
            record_keys(self.connection, self.filler.tables, types)
            return 0, {}
        found = find_changes()
        changed = {name: resources for name, resources in found.by_type.items() if name in types}
        record_keys(self.connection, self.filler.tables, types - known)
        record_changed_keys(self.connection, self.filler.tables, changed, found.recorded)
        return sum(map(len, changed.values())), {name: each for name, each in found.repairs.items() if name in types}

    def _find_changes(self, types: frozenset[str], digests: Mapping[str, TypeDigest]) -> "_Changes":
        if self.last is None or not types:
            return _Changes({}, {}, frozenset())
        tables = self.filler.tables
        unseen = changes_since(self.connection, tables, types, self.last.mark)
        changes = by_key(self.connection, tables, unseen)
        now = {name: digests[name] for name in types}
        differences = find_differences(self.connection, tables, self.last.digests, changes, now)
        # What xmin shows is not a repair, and its current state decides: it may be a delete.
        seen = {change.key for change in changes}
        untracked = [resource for resource in differences if resource.key not in seen]
        current = [ChangedResource(change.key, None if change.deleted else change.res_id) for change in changes]
        by_type: dict[str, list[ChangedResource]] = {resource_type: [] for resource_type in types}
        for resource in sorted((*untracked, *current), key=lambda each: each.key):
            by_type[resource.key.type].append(resource)
        recorded = {each.recorded for each in differences if each.recorded is not None}
        return _Changes(by_type, repairs_by_type(untracked), recorded | {change.res_id for change in changes})

    def _make(
        self, wanted: WantedView, find_changes: Callable[[], "_Changes"], resources: Mapping[str, int]
    ) -> tuple[PublishedView | None, str]:
        """The first of the definitions that can be made, and why that is not the file's; None when none can be."""
        failure = wanted.problem
        for view in wanted.definitions:
            for attempt in self._attempts(view, find_changes, resources[view.resource]):
                made, error = self._in_savepoint(attempt)
                if made is not None:
                    return made, failure
                logger.info("%s: %s", view.name, error)
            failure = failure or error
        return None, failure

    def _in_savepoint(self, attempt: Callable[[], PublishedView]) -> tuple[PublishedView | None, str]:
        """What the attempt makes; or None and what went wrong, with nothing of it left."""
        try:
            with self.connection.transaction():
                return attempt(), ""
        except (psycopg.Error, RefreshError) as error:
            if _concerns_all(error):
                raise
            return None, _explain(error)

    def _attempts(
        self, view: View, find_changes: Callable[[], "_Changes"], resources: int
    ) -> list[Callable[[], PublishedView]]:
        """The ways to make a view: to update its table, where it has one, and to build it from the source."""
        before = self.last.views.get(view.name) if self.last else None
        build = partial(self._build, view, resources)
        if before is None or before.view.digest != view.digest:
            return [build]

        def update() -> PublishedView:
            return self._update(view, before, find_changes().by_type[view.resource], resources)

        return [build, update] if self.full else [update, build]

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


@dataclass(frozen=True, slots=True)
class _Changes:
    """What changed since the last generation.

    Attributes:
        by_type: the resources, by type.
        repairs: those of them that only their keys show.
        recorded: primary keys under which they may be recorded.
    """

    by_type: Mapping[str, Sequence[ChangedResource]]
    repairs: Mapping[str, Repairs]
    recorded: Collection[int]


def _concerns_all(error: Exception) -> bool:
    """Whether no view could be made after this error: the connection is lost, or somebody ended the transaction."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "08")[:2] in _ENDS_TRANSACTION


def _explain(error: psycopg.Error | RefreshError) -> str:
    """What went wrong, without a value that PostgreSQL quotes."""
    if isinstance(error, RefreshError):
        return str(error)
    return data_error_reason(error.sqlstate or "") if is_data_error(error) else reason(error)


_ENDS_TRANSACTION = ("08", "40", "57", "58")
"""Classes of SQLSTATE: connection, rollback of the whole transaction, intervention of an operator, system error."""

_RETIRE = "DELETE FROM sqlonfhir.quarantine WHERE view <> ALL (%(views)s)"
