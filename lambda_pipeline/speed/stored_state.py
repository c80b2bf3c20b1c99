"""The overlay's state as Redis returned it: read from its fields, and what is missing of what it speaks of.

What the state says belongs in `state`. The argument: docs/guarantees.md, "Gaps are seen".
"""

from collections.abc import Mapping, Sequence

from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.redis_errors import damaged
from lambda_pipeline.speed.state import OverlayState


def parse_state(fields: Mapping[str, str]) -> OverlayState | None:
    """The state; None when there is none, or one that cannot be read."""
    try:
        state = OverlayState.of(fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    well_formed = isinstance(state.views, dict) and all(isinstance(name, str) for name in state.views.values())
    return state if well_formed else None


def parse_polls(members: Sequence[str]) -> list[tuple[int, SnapshotMark]]:
    """Sequence number and mark of every poll that has entries, in order.

    Raises:
        RedisUnavailableError: somebody else wrote a mark.
    """
    try:
        return [(int(seq), SnapshotMark.parse(mark)) for seq, mark in (text.split(" ", 1) for text in members)]
    except ValueError:
        raise damaged("the mark of a poll") from None


def find_loss(state: OverlayState, run_id: str, lengths: Sequence[tuple[str, int]], polls: int) -> str:
    """What Redis lost, in words; empty when everything is there.

    Args:
        state: what should be there.
        run_id: of the Redis process now.
        lengths: resource type and number of entries of each key that was looked at.
        polls: number of marks.
    """
    return find_restart(state, run_id) or _missing(state, lengths) or _missing_polls(state, polls)


def find_restart(state: OverlayState, run_id: str) -> str:
    """That Redis is another process than the one that the state was written to, in words."""
    return "" if state.run_id == run_id else "Redis was restarted, or is another server"


def _missing(state: OverlayState, lengths: Sequence[tuple[str, int]]) -> str:
    for resource_type, length in lengths:
        expected = state.entries.get(resource_type, 0)
        if length != expected:
            return f"Redis lost entries: {length} of {expected} for {resource_type}"
    return ""


def _missing_polls(state: OverlayState, found: int) -> str:
    return "" if found == state.polls else f"Redis lost marks of polls: {found} of {state.polls}"
