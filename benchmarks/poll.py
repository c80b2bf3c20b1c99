"""Polls: how many changes a second they take, and what one costs that finds nothing."""

import statistics

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import milliseconds, seconds

_IDLE_POLLS = 20


def poll(bench: Bench) -> Finding:
    """Polls after bursts of several sizes, and idle ones before and after them."""
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        pipeline.poller.poll()
        interval_s = pipeline.settings.poll_interval_s
        rows = [_idle(pipeline, "idle, empty overlay", interval_s)]
        done = 0
        for burst in (
            1,
            max(1, bench.sizes.entries // 100),
            max(1, bench.sizes.entries // 10),
            bench.sizes.entries // 2,
        ):
            rows.append(_after(pipeline, done, done + burst, interval_s))
            done += burst
        rows.append(_idle(pipeline, "idle, with entries", interval_s))
    return Finding(
        "poll",
        "one drained poll of changed laboratory results: found, flattened for every view, published",
        ("poll", "changes", "taken, ms", "changes, /s", "of the poll interval, x"),
        rows,
        ("idle: the median of twenty.",),
    )


def _after(pipeline: Pipeline, first: int, last: int, interval_s: float) -> tuple[Value, ...]:
    pipeline.change_results(first, last)
    done = pipeline.poller.poll()
    rate = done.count / done.seconds if done.count else None
    return ("after a burst", done.count, milliseconds(done.seconds), rate, done.seconds / interval_s)


def _idle(pipeline: Pipeline, name: str, interval_s: float) -> tuple[Value, ...]:
    taken = statistics.median(seconds(pipeline.poller.poll) for _ in range(_IDLE_POLLS))
    return (name, 0, milliseconds(taken), None, taken / interval_s)
