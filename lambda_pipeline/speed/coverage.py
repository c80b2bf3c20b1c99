"""May the overlay be used with the published generation, and which of its entries does the generation cover.

Readers, the poller and `status` ask this question here and only phrase the answer. How the overlay is read belongs in
`overlay`, what a poll does about a gap in `poll_plan`. The argument: docs/guarantees.md, "Coverage is decided by
snapshots" and "Gaps are seen".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.entry import rows_key
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View


class GapReason(Enum):
    """Why the overlay cannot be used as it is; the value is the sentence for people."""

    LOST = "{detail}"
    OTHER_DATABASE = "the overlay is of another database"
    OTHER_SOURCE = "the overlay is of before this: {detail}"
    AHEAD = "the overlay is ahead of this database"
    BEGINS_LATER = "the overlay begins after the published generation"
    DEFINITION_MISSING = "the overlay has no rows for this definition of {detail}"
    NOT_COMPARED = "no poll has compared the overlay with generation {detail} yet"
    # The rest concerns the poller alone: the overlay is right, but a poll cannot build upon it.
    REQUESTED = "asked for"
    VIEWS_CHANGED = "the views changed"
    COVERED = "the published generation covers all of it"
    TOO_OLD = "the overlay is too many transactions old"


@dataclass(frozen=True, slots=True)
class Gap:
    """One reason, with what it is about.

    Attributes:
        reason: see `GapReason`.
        detail: fills the sentence of the reason.
    """

    reason: GapReason
    detail: str = ""

    def __str__(self) -> str:
        return self.reason.value.format(detail=self.detail)


def find_gap(  # noqa: PLR0911 (one return for each reason)
    state: OverlayState | None,
    lost: str,
    generation: Generation,
    *,
    now: SnapshotMark | None = None,
    definitions: Iterable[View] = (),
) -> Gap | None:
    """Why the overlay does not hold everything that changed since the generation; None when it does.

    Args:
        state: of the overlay.
        lost: what Redis lost of it, in words; empty when nothing.
        generation: the published one.
        now: the snapshot that reads both; None where no row is read.
        definitions: the definitions that rows are asked for.
    """
    if state is None or lost:
        return Gap(GapReason.LOST, lost or "there is no overlay in Redis")
    if state.mark.cluster != generation.mark.cluster or (now and state.mark.cluster != now.cluster):
        return Gap(GapReason.OTHER_DATABASE)
    # Generation and overlay must be made from the same tables by the same rules.
    broken = state.mark.find_break(generation.mark)
    if broken:
        return Gap(GapReason.OTHER_SOURCE, broken)
    # A database that was put back in time, or a replica: it lacks changes that the overlay has.
    if now and not state.mark.covered_by(now):
        return Gap(GapReason.AHEAD)
    # What changed between the generation and "complete since" has no entry.
    if not state.complete_since.covered_by(generation.mark):
        return Gap(GapReason.BEGINS_LATER)
    unknown = [view.name for view in definitions if rows_key(view) not in state.views]
    if unknown:
        return Gap(GapReason.DEFINITION_MISSING, ", ".join(unknown))
    # A resource may come and go without a trace around the generation's snapshot; only a comparison of keys finds it.
    if state.compared_with != generation.number and not covers_all(generation, state):
        return Gap(GapReason.NOT_COMPARED, str(generation.number))
    return None


def find_rebuild_reason(
    state: OverlayState, lost: str, generation: Generation, mark: SnapshotMark, views: Mapping[str, View]
) -> Gap | None:
    """Why a poll cannot build upon the overlay and makes it again from the generation; None when it can.

    Args:
        state: of the overlay.
        lost: what Redis lost of it; empty when nothing.
        generation: the published one.
        mark: the poll's snapshot.
        views: definitions to capture rows for, by `rows_key`.
    """
    if not lost and {name: view.resource for name, view in views.items()} != state.views:
        return Gap(GapReason.VIEWS_CHANGED)
    gap = find_gap(state, lost, generation, now=mark)
    if gap is not None and gap.reason is not GapReason.NOT_COMPARED:  # the poll itself makes the comparison
        return gap
    if covers_all(generation, state):
        return Gap(GapReason.COVERED)
    if not state.exact_mark.reaches(mark):
        return Gap(GapReason.TOO_OLD)
    return None


def covers_all(generation: Generation, state: OverlayState) -> bool:
    """Whether the generation saw everything that the overlay's last poll saw."""
    return state.mark.covered_by(generation.mark)


def covered_seq(state: OverlayState, polls: Sequence[tuple[int, SnapshotMark]], mark: SnapshotMark) -> int:
    """The highest sequence number whose poll this mark covers; entries up to it are ignored, or pruned.

    Args:
        state: of the overlay.
        polls: sequence number and mark of every poll that has entries, in order.
        mark: of a generation.
    """
    if state.mark.covered_by(mark):
        return state.seq
    covered = 0
    for seq, poll in polls:
        if not poll.covered_by(mark):
            break
        covered = seq
    return covered
