"""The state of a running deployment, as an operator wants to know it: what is published, how fresh, what is wrong."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.batch.view_status import ViewState, ViewStatus, view_statuses
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import AnswerRefusedError, RedisUnavailableError
from lambda_pipeline.serving.answer import QuarantinedResource
from lambda_pipeline.serving.read import open_batch, open_live
from lambda_pipeline.speed.entry import rows_key
from lambda_pipeline.speed.overlay import OverlayStatus
from lambda_pipeline.speed.state import OverlayState

OLDEST_FRONTIER_S = 60.0
"""Where no freshness target is set, a frontier older than this, or than so many polls, means that nobody polls.

So does a generation that no poll has looked at for as long.
"""


@dataclass(frozen=True, slots=True)
class OverlayHealth:
    """The speed layer's store.

    Attributes:
        entries: by resource type.
        size_bytes: estimated memory of all of it.
        gap: what it lost or lacks, so that live answers cannot use it; empty when nothing.
        waiting: what the next poll has to do before live answers use it; empty when nothing. The usual state for a
            moment after a refresh.
        polled_at: when the last poll looked, by the database's clock; None when there is no overlay.
    """

    entries: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    gap: str = ""
    waiting: str = ""
    polled_at: datetime | None = None

    @property
    def entry_count(self) -> int:
        """Entries of all types."""
        return sum(self.entries.values())


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """One look at a deployment.

    Attributes:
        looked_at: the database's clock.
        generation: what is published; None before the first refresh.
        views: all views, by name.
        overlay: None when the speed layer is off.
        frontier: every change committed by then is in a live answer given now.
        sources: what a live answer is made from now.
        quarantined: resources that are missing from a view's live answer because they cannot be read.
        problems: what is wrong; empty means healthy.
        notes: what is worth knowing though nothing is wrong.
    """

    looked_at: datetime
    generation: Generation | None
    views: tuple[ViewStatus, ...]
    overlay: OverlayHealth | None
    frontier: datetime | None
    sources: tuple[str, ...]
    quarantined: tuple[QuarantinedResource, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def lag_s(self) -> float | None:
        """Age of the frontier in seconds."""
        return None if self.frontier is None else max(0.0, (self.looked_at - self.frontier).total_seconds())

    def as_json(self) -> dict[str, Any]:
        """For programs: times are ISO 8601 in UTC, ages seconds, sizes bytes."""
        generation = self.generation
        lag = self.lag_s
        return {
            "healthy": self.healthy,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "looked_at": _iso(self.looked_at),
            "generation": None
            if generation is None
            else {
                "number": generation.number,
                "kind": generation.build_kind,
                "valid_as_of": _iso(generation.valid_as_of),
                "published_at": _iso(generation.published_at),
                "changes": generation.changes,
                "repaired": generation.repaired,
                "repairs": {kind: asdict(found) for kind, found in generation.repairs.items()},
            },
            "views": [view.as_json() for view in self.views],
            "frontier": _iso(self.frontier),
            "lag_s": None if lag is None else round(lag, 3),
            "sources": list(self.sources),
            "overlay": None
            if self.overlay is None
            else {
                "entries": dict(self.overlay.entries),
                "bytes": self.overlay.size_bytes,
                "gap": self.overlay.gap,
                "waiting": self.overlay.waiting,
                "polled_at": _iso(self.overlay.polled_at),
            },
            "quarantined": [asdict(one) for one in self.quarantined],
        }


def collect_status(deployment: Deployment) -> PipelineStatus:
    """Look at everything once.

    Raises:
        HapiUnavailableError: the database cannot be reached.
        SourceError: HAPI's tables are missing or cannot be read.
    """
    with deployment.database.connect() as connection:
        generation = published(connection)
        views = tuple(view_statuses(connection, deployment.views))
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        looked_at: datetime = row[0]
    overlay = _overlay(deployment, generation) if deployment.settings.speed_layer else None
    frontier, sources, quarantined, refused = _live(deployment, generation, overlay)
    health = PipelineStatus(looked_at, generation, views, overlay, frontier, sources, quarantined, (), ())
    problems = [*_problems(deployment, health), *([refused] if refused else [])]
    return PipelineStatus(
        looked_at, generation, views, overlay, frontier, sources, quarantined, tuple(problems), tuple(_notes(health))
    )


def _overlay(deployment: Deployment, generation: Generation | None) -> OverlayHealth:
    try:
        inspection = deployment.overlay.read_status()
        size = deployment.overlay.size_bytes(inspection.state) if inspection.state else 0
    except RedisUnavailableError as error:
        return OverlayHealth(gap=f"Redis cannot be used: {error.message}")
    if inspection.state is None:
        return OverlayHealth(gap=inspection.lost)
    state = inspection.state
    gap = _gap(inspection, state, generation)
    waiting = "" if gap or generation is None else _waiting(state, generation)
    return OverlayHealth(state.entries, size, gap, waiting, state.mark.taken_at)


def _gap(inspection: OverlayStatus, state: OverlayState, generation: Generation | None) -> str:
    if inspection.lost or generation is None:
        return inspection.lost
    if state.mark.cluster != generation.mark.cluster:
        return "it is of another database"
    if not state.complete_since.covered_by(generation.mark):
        return "it begins after the published generation"
    unknown = [name for name, known in generation.views.items() if rows_key(known.view) not in state.views]
    return f"it has no rows for the published definition of {', '.join(unknown)}" if unknown else ""


def _waiting(state: OverlayState, generation: Generation) -> str:
    if state.compared_with == generation.number or state.mark.covered_by(generation.mark):
        return ""
    return f"no poll has compared the overlay with generation {generation.number} yet"


Live = tuple[datetime | None, tuple[str, ...], tuple[QuarantinedResource, ...], str]


def _live(deployment: Deployment, generation: Generation | None, overlay: OverlayHealth | None) -> Live:
    """What a live answer over all views would say of itself; a damaged overlay is not made up for here."""
    if generation is None:
        return None, (), (), ""
    names = list(generation.views)
    if overlay is None or overlay.gap:
        with open_batch(deployment.database, names) as batch:
            return batch.frontier.taken_at, batch.sources, batch.quarantined, ""
    try:
        with open_live(
            deployment.database, deployment.overlay, deployment.settings, names, freshness_target_s=None
        ) as live:
            return live.frontier.taken_at, live.sources, live.quarantined, ""
    except AnswerRefusedError as error:
        return None, (), (), f"live answers are refused: {error.message}"


def _problems(deployment: Deployment, health: PipelineStatus) -> list[str]:
    settings = deployment.settings
    if health.generation is None:
        return ["no generation is published: run lambda-pipeline refresh"]
    if health.overlay is None:
        return []
    answers = "read HAPI's tables instead" if settings.read_source_on_gap else "are refused"
    if health.overlay.gap:
        return [f"the overlay has a gap: {health.overlay.gap}; until the next poll live answers {answers}"]
    found = []
    oldest = settings.freshness_target_s or max(OLDEST_FRONTIER_S, OLDEST_FRONTIER_S * settings.poll_interval_s)
    published_s = (health.looked_at - health.generation.published_at).total_seconds()
    if health.overlay.waiting and published_s > oldest:
        since = f"{published_s:,.0f} s after it was published"
        found.append(f"{health.overlay.waiting}, {since}; live answers {answers}: does the sensor run?")
    if health.lag_s is not None and health.lag_s > oldest:
        found.append(f"the frontier is {health.lag_s:,.0f} s old: does the sensor run?")
    if health.overlay.entry_count >= settings.overlay_max_entries:
        found.append(f"the overlay is full: {health.overlay.entry_count:,} entries; run lambda-pipeline refresh")
    if health.overlay.size_bytes >= settings.overlay_max_bytes:
        found.append(f"the overlay is full: {health.overlay.size_bytes:,} bytes; run lambda-pipeline refresh")
    return found


def _notes(health: PipelineStatus) -> list[str]:
    waiting = {ViewState.NEW: "is new", ViewState.CHANGED: "has a changed definition"}
    notes = [
        f"view {view.name} {waiting[view.state]}: the next refresh builds it"
        for view in health.views
        if view.state in waiting and health.generation is not None
    ]
    counts = Counter(one.view for one in health.quarantined)
    notes += [
        f"view {view}: {count} resources cannot be read; answers say so" for view, count in sorted(counts.items())
    ]
    if health.overlay is None:
        notes.append("the speed layer is off")
    elif health.overlay.waiting:
        notes.append(f"{health.overlay.waiting}: the next poll does, and until then answers do not come from it")
    return notes


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
