"""Measure times on a machine that is also used by others."""

import time
from collections.abc import Callable, Mapping


def seconds(action: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def best(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest time of each action, in seconds.

    The actions alternate, so that a busy moment of the machine affects all of them; short actions get more rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    began = time.perf_counter()
    turns = 0
    while turns < rounds or (turns < rounds * 8 and time.perf_counter() - began < rounds / 2):
        for name, action in actions.items():
            times[name].append(seconds(action))
        turns += 1
    return {name: min(durations) for name, durations in times.items()}


def milliseconds(duration_s: float) -> float:
    """Convert seconds to milliseconds."""
    return duration_s * 1000
