"""Taking times on a machine that does other things too."""

import time
from collections.abc import Callable, Mapping


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def best(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest time of each action, in seconds.

    The actions take turns, so that a busy moment of the machine falls on all of them; short ones take more turns.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    began = time.perf_counter()
    turns = 0
    while turns < rounds or (turns < rounds * 8 and time.perf_counter() - began < rounds / 2):
        for name, action in actions.items():
            times[name].append(seconds(action))
        turns += 1
    return {name: min(taken) for name, taken in times.items()}


def milliseconds(taken: float) -> float:
    """From seconds."""
    return taken * 1000
