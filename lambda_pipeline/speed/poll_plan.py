"""What a poll builds upon: the overlay as it is, or the published generation where the overlay cannot be kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.database import Connection
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.entry import rows_key
from lambda_pipeline.speed.lookback import oldest_possible_update
from lambda_pipeline.speed.overlay import OverlayStatus
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View

ALL_COVERED = "the published generation covers all of it"


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What a poll builds upon.

    Attributes:
        state: of the overlay that is kept; None when it is made anew.
        since: everything that this mark saw is known.
        complete_since: of the overlay that the poll makes.
        rebuild: why the overlay is made anew; empty when it is kept.
        exact: every row is asked, whatever its stamp.
        since_stamp: only rows stamped then or later are asked; None when `exact`.
        compare: no poll has compared the overlay with the keys of the published generation yet.
    """

    state: OverlayState | None
    since: SnapshotMark
    complete_since: SnapshotMark
    rebuild: str
    exact: bool
    updated_since: datetime | None
    compare: bool


def plan_poll(
    connection: Connection,
    settings: Settings,
    inspection: OverlayStatus,
    generation: Generation,
    mark: SnapshotMark,
    views: Mapping[str, View],
    asked: str,
) -> PollPlan:
    """The overlay that was found, or the generation.

    Args:
        connection: in the poll's snapshot.
        settings: sizes and intervals.
        inspection: the overlay, looked at before the snapshot.
        generation: the published one, in the snapshot.
        mark: of the snapshot.
        views: to capture, by `rows_key`.
        asked: why the overlay is to be made anew in any case; empty when it need not.
    """
    state = inspection.state
    why = asked or inspection.lost or (_unusable(state, generation, mark, views) if state else "")
    if state is None or why:
        return PollPlan(None, generation.mark, generation.mark, why, exact=True, updated_since=None, compare=True)
    compare = state.compared_with != generation.number
    bound = lookback_bound(state, settings)
    exact = compare or bound is None or _exact(connection, settings, state, mark)
    return PollPlan(
        state,
        state.exact_mark if exact else state.mark,
        state.complete_since,
        "",
        exact=exact,
        updated_since=None if exact else bound,
        compare=compare,
    )


def lookback_bound(state: OverlayState, settings: Settings) -> datetime | None:
    """From which stamp on a ranged poll reads; None when only an exact one will do.

    The overlap is for what no transaction number tells: the time from a stamp to the first write, and skewed clocks.
    """
    floor = oldest_possible_update(state.lookback_points, state.mark)
    return None if floor is None else floor - timedelta(seconds=settings.poll_overlap_s)


def wanted(generation: Generation, views: tuple[View, ...]) -> dict[str, View]:
    """Definitions to capture rows for, by `rows_key`: the published ones, and those the next generation will publish.

    Only of resource types that the generation has: of others it has no keys, so that nothing could tell what went
    without a trace; and no question about them is answered before a generation has them.
    """
    ours = [view for view in views if view.resource in generation.types]
    return {rows_key(view): view for view in (*(known.view for known in generation.views.values()), *ours)}


def _unusable(state: OverlayState, generation: Generation, mark: SnapshotMark, views: Mapping[str, View]) -> str:
    if {name: view.resource for name, view in views.items()} != state.views:
        return "the views changed"
    if state.mark.cluster != mark.cluster or not state.mark.covered_by(mark):
        return "the overlay is of another database, or ahead of this one"
    if not state.complete_since.covered_by(generation.mark):
        return "the overlay begins after the published generation"
    if state.mark.covered_by(generation.mark):
        return ALL_COVERED
    if not state.exact_mark.reaches(mark):
        return "the overlay is too many transactions old"
    return ""


def _exact(connection: Connection, settings: Settings, state: OverlayState, mark: SnapshotMark) -> bool:
    """Whether it is time for a poll that trusts no stamp, or the table is small enough for every poll to be one."""
    if (mark.taken_at - state.exact_mark.taken_at).total_seconds() >= settings.sweep_interval_s:
        return True
    row = connection.execute(
        _ESTIMATED_ROWS, {"table": sql.Identifier(settings.hapi_schema, "hfj_resource").as_string()}
    ).fetchone()
    return row is None or row[0] <= settings.exact_scan_max_rows


# Without statistics, by the size of a row of HAPI's.
_ESTIMATED_ROWS = """
SELECT CASE WHEN reltuples >= 0 THEN reltuples ELSE pg_relation_size(oid) / 150 END
  FROM pg_class WHERE oid = to_regclass(%(table)s)"""
