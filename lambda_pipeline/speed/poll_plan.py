"""What a poll builds upon, and which rows it asks: decided before anything is read.

Whether the overlay can be kept at all is decided in `coverage`; how far back a ranged poll reads, in `lookback`. The
argument: docs/guarantees.md, "A poll sees whole transactions" and "Coverage is decided by snapshots".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.database import Connection
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.coverage import Gap, GapReason, find_rebuild_reason
from lambda_pipeline.speed.entry import rows_key
from lambda_pipeline.speed.lookback import oldest_possible_update
from lambda_pipeline.speed.overlay import OverlayStatus
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What a poll builds upon.

    Attributes:
        state: of the overlay that is kept; None when it is made again from the generation.
        since: what this mark saw is known already.
        complete_since: of the overlay that the poll makes.
        rebuild: why the overlay is made again; None when it is kept, or when there was none.
        exact: every row is asked, whatever its timestamp.
        updated_since: only rows with this timestamp or a later one are asked; None when `exact`.
        compare: no poll has compared the overlay with the keys of the published generation yet.
    """

    state: OverlayState | None
    since: SnapshotMark
    complete_since: SnapshotMark
    rebuild: Gap | None
    exact: bool
    updated_since: datetime | None
    compare: bool


def plan_poll(
    connection: Connection,
    settings: Settings,
    status: OverlayStatus,
    generation: Generation,
    mark: SnapshotMark,
    views: Mapping[str, View],
    *,
    rebuild: bool,
) -> PollPlan:
    """Plan a poll upon the overlay, or upon the generation where the overlay cannot be kept.

    Args:
        connection: in the poll's snapshot.
        settings: sizes and intervals.
        status: of the overlay, read before the snapshot.
        generation: the published one, in the snapshot.
        mark: of the snapshot.
        views: to capture, by `rows_key`.
        rebuild: make the overlay again in any case.
    """
    state = status.state
    reason = Gap(GapReason.REQUESTED) if rebuild else _rebuild_reason(status, generation, mark, views)
    if state is None or reason is not None:
        return PollPlan(None, generation.mark, generation.mark, reason, exact=True, updated_since=None, compare=True)
    compare = state.compared_with != generation.number
    bound = lookback_bound(state, settings)
    exact = compare or bound is None or _exact_is_due(connection, settings, state, mark)
    return PollPlan(
        state,
        # A ranged poll may have missed something, so an exact one reads on from the last exact one.
        state.exact_mark if exact else state.mark,
        state.complete_since,
        None,
        exact=exact,
        updated_since=None if exact else bound,
        compare=compare,
    )


def lookback_bound(state: OverlayState, settings: Settings) -> datetime | None:
    """The oldest timestamp that a ranged poll asks for; None when only an exact poll will do.

    The overlap covers what no transaction number shows: the time between HAPI's timestamp and its first write, and
    skewed clocks.
    """
    oldest = oldest_possible_update(state.lookback_points, state.mark)
    return None if oldest is None else oldest - timedelta(seconds=settings.poll_overlap_s)


def views_to_capture(generation: Generation, views: tuple[View, ...]) -> dict[str, View]:
    """Definitions to capture rows for, by `rows_key`: the published ones, and those the next generation will publish.

    Only of resource types that the generation has: it holds no keys of other types, so nothing could show what
    disappeared without a trace. No question about them is answered before a generation has them.
    """
    published = [known.view for known in generation.views.values()]
    of_known_types = [view for view in views if view.resource in generation.types]
    return {rows_key(view): view for view in (*published, *of_known_types)}


def _rebuild_reason(
    status: OverlayStatus, generation: Generation, mark: SnapshotMark, views: Mapping[str, View]
) -> Gap | None:
    if status.state is None:
        return Gap(GapReason.LOST, status.lost)
    return find_rebuild_reason(status.state, status.lost, generation, mark, views)


def _exact_is_due(connection: Connection, settings: Settings, state: OverlayState, mark: SnapshotMark) -> bool:
    """Whether a sweep is due, or the table is small enough for every poll to be exact."""
    if (mark.taken_at - state.exact_mark.taken_at).total_seconds() >= settings.sweep_interval_s:
        return True
    row = connection.execute(
        _ESTIMATED_ROWS, {"table": sql.Identifier(settings.hapi_schema, "hfj_resource").as_string()}
    ).fetchone()
    return row is None or row[0] <= settings.exact_scan_max_rows


# Without statistics, by the usual size of a row of HAPI's.
_ESTIMATED_ROWS = """
SELECT CASE WHEN reltuples >= 0 THEN reltuples ELSE pg_relation_size(oid) / 150 END
  FROM pg_class WHERE oid = to_regclass(%(table)s)"""
