"""The state of a running deployment, for its operator: what is published, how fresh answers are, what is wrong.

Whether servers are fit for the pipeline does not belong here (`preflight.py`), nor whether served rows are correct
(`parity.py`). Coverage, gaps and the frontier are explained in docs/guarantees.md.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.batch.view_status import ViewState, ViewStatus, view_statuses
from lambda_pipeline.batch.wanted_views import wanted_views
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import AnswerRefusedError, RedisUnavailableError
from lambda_pipeline.serving.answer import QuarantinedResource
from lambda_pipeline.serving.read import open_batch, open_live
from lambda_pipeline.serving.statement import errors_of_queries
from lambda_pipeline.speed.coverage import GapReason, find_gap
from lambda_pipeline.views import BrokenFile, View

"""Without a freshness target, the age of the frontier above which the sensor has stopped; at slow polls, 60 intervals.

The same age holds for a generation that no poll has compared with the overlay yet.
"""


@dataclass(frozen=True, slots=True)
class OverlayHealth:
    """The state of the overlay.

    Attributes:
        entries: number of entries by resource type.
        size_bytes: estimated memory of the whole overlay.
        gap: which coverage is missing, so that live answers cannot use the overlay; empty when none is.
        waiting: what the next poll must do before live answers use the overlay; empty when nothing. Usual for a moment
            after a refresh.
        polled_at: snapshot time of the last poll, by the database's clock; None when there is no overlay.
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
    """The state of a deployment at one moment.

    Attributes:
        looked_at: that moment, by the database's clock.
        generation: the published one; None before the first refresh.
        views: all views, by name.
        overlay: None when the speed layer is off.
        frontier: a live answer given now contains every change committed by then; None when there is no such answer.
        sources: what a live answer given now is made from.
        quarantined: resources that are missing from a view's live answer because they cannot be read.
        problems: what is wrong; empty means healthy.
        notes: what an operator should know although nothing is wrong.
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
        """The status as JSON: times in ISO 8601 and UTC, ages in seconds, sizes in bytes."""
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
                "repairs": {name: asdict(found) for name, found in generation.repairs.items()},
                "failures": dict(generation.failures),
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
    """Read the state of the source, the batch views and the overlay once.

    Raises:
        HapiUnavailableError: the database cannot be reached.
        SourceError: HAPI's tables are missing or cannot be read.
        QueryFailedError: PostgreSQL ended a statement: a lost right, a time limit.
    """
    with errors_of_queries():
        return _collect(deployment)


def _collect(deployment: Deployment) -> PipelineStatus:
    with deployment.database.connect() as connection:
        generation = published(connection)
        views = tuple(view_statuses(connection, deployment.views, deployment.broken))
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        looked_at: datetime = row[0]
    overlay = _overlay_health(deployment, generation) if deployment.settings.speed_layer else None
    frontier, sources, quarantined, refused = _describe_live_answer(deployment, generation, overlay)
    status = PipelineStatus(
        looked_at=looked_at,
        generation=generation,
        views=views,
        overlay=overlay,
        frontier=frontier,
        sources=sources,
        quarantined=quarantined,
        problems=(),
        notes=(),
    )
    problems = [
        *_find_problems(deployment, status),
        *([refused] if refused else []),
        *describe_failures(generation, deployment.views, deployment.broken),
    ]
    return replace(status, problems=tuple(problems), notes=tuple(_collect_notes(status)))


def describe_failures(
    generation: Generation | None, views: Sequence[View] = (), broken: Sequence[BrokenFile] = ()
) -> Iterator[str]:
    """Each view that is not as its file defines it: why, and what is served of it.

    Args:
        generation: the published one.
        views: of the files that compile now.
        broken: files that do not.
    """
    wanted = wanted_views(generation, views, broken)
    problems = {each.name: each.problem for each in wanted if each.problem}
    served = generation.views if generation else {}
    for name, problem in (dict(generation.failures if generation else {}) | problems).items():
        goes_on = "its last published definition is served" if name in served else "nothing is published of it"
        yield f"view {name}: {goes_on}: {problem}"


def _overlay_health(deployment: Deployment, generation: Generation | None) -> OverlayHealth:
    try:
        overlay = deployment.overlay.read_status()
        size = deployment.overlay.size_bytes(overlay.state) if overlay.state else 0
    except RedisUnavailableError as error:
        return OverlayHealth(gap=f"Redis cannot be used: {error.message}")
    state = overlay.state
    if state is None:
        return OverlayHealth(gap=overlay.lost)
    if generation is None:
        return OverlayHealth(state.entries, size, overlay.lost, "", state.mark.taken_at)
    definitions = [known.view for known in generation.views.values()]
    gap = find_gap(state, overlay.lost, generation, definitions=definitions)
    # The next poll makes the comparison: this is the usual state for a moment after a refresh, and no damage.
    waits = gap is not None and gap.reason is GapReason.NOT_COMPARED
    return OverlayHealth(
        state.entries,
        size,
        gap=str(gap) if gap and not waits else "",
        waiting=str(gap) if waits else "",
        polled_at=state.mark.taken_at,
    )


LiveAnswer = tuple[datetime | None, tuple[str, ...], tuple[QuarantinedResource, ...], str]
"""Frontier, sources and quarantined resources of a live answer, and the refusal where there is no answer."""


def _describe_live_answer(
    deployment: Deployment, generation: Generation | None, overlay: OverlayHealth | None
) -> LiveAnswer:
    """What a live answer over all views would report; the source is not read to fill a gap of the overlay."""
    if generation is None:
        return None, (), (), ""
    names = list(generation.views)
    if overlay is None or overlay.gap:
        with open_batch(deployment.database, deployment.settings, names) as batch:
            return batch.frontier.taken_at, batch.sources, batch.quarantined, ""
    try:
        with open_live(
            deployment.database, deployment.overlay, deployment.settings, names, freshness_target_s=None
        ) as live:
            return live.frontier.taken_at, live.sources, live.quarantined, ""
    except AnswerRefusedError as error:
        return None, (), (), f"live answers are refused: {error.message}"


def _find_problems(deployment: Deployment, status: PipelineStatus) -> list[str]:
    settings = deployment.settings
    if status.generation is None:
        return ["no generation is published: run lambda-pipeline refresh"]
    if status.overlay is None:
        return []
    answers = "read HAPI's tables instead" if settings.read_source_on_gap else "are refused"
    if status.overlay.gap:
        return [f"the overlay has a gap: {status.overlay.gap}; until the next poll live answers {answers}"]
    found = []
    oldest = settings.oldest_frontier_s
    published_s = (status.looked_at - status.generation.published_at).total_seconds()
    if status.overlay.waiting and published_s > oldest:
        since = f"{published_s:,.0f} s after it was published"
        found.append(
            f"{status.overlay.waiting}, {since}; live answers {answers}: is the sensor capture_changes running?"
        )
    if status.lag_s is not None and status.lag_s > oldest:
        found.append(
            f"the frontier is {status.lag_s:,.0f} s old, and live answers {answers}:"
            " is the sensor capture_changes running?"
        )
    if status.overlay.entry_count >= settings.overlay_max_entries:
        found.append(f"the overlay is full: {status.overlay.entry_count:,} entries; run lambda-pipeline refresh")
    if status.overlay.size_bytes >= settings.overlay_max_bytes:
        found.append(f"the overlay is full: {status.overlay.size_bytes:,} bytes; run lambda-pipeline refresh")
    return found


def _collect_notes(status: PipelineStatus) -> list[str]:
    waiting = {ViewState.NEW: "is new", ViewState.CHANGED: "has a changed definition"}
    notes = [
        f"view {view.name} {waiting[view.state]}: the next refresh builds it"
        for view in status.views
        if view.state in waiting and status.generation is not None
    ]
    counts = Counter(one.view for one in status.quarantined)
    notes += [
        f"view {view}: {count} resources cannot be read; answers name them" for view, count in sorted(counts.items())
    ]
    if status.overlay is None:
        notes.append("the speed layer is off")
    elif status.overlay.waiting:
        notes.append(f"{status.overlay.waiting}: the next poll does, and until then answers do not use the overlay")
    return notes


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
