"""Polls: how many changes per second they capture, and the cost of a poll that finds none."""

import statistics

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import milliseconds, seconds

_IDLE_POLLS = 20


def poll(bench: Bench) -> Finding:
    """Measure polls after bursts of several sizes, and idle polls before and after them."""
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        pipeline.poller.poll()
        interval_s = pipeline.settings.poll_interval_s
        rows = [_measure_idle(pipeline, "idle, empty overlay", interval_s)]
        done = 0
        for burst in (
            1,
            max(1, bench.sizes.entries // 100),
            max(1, bench.sizes.entries // 10),
            bench.sizes.entries // 2,
        ):
            rows.append(_measure_after_burst(pipeline, done, done + burst, interval_s))
            done += burst
        rows.append(_measure_idle(pipeline, "idle, with entries", interval_s))
    return Finding(
        "poll",
        "one poll that captures all changed laboratory results: find, flatten for every view, publish",
        ("poll", "changes", "taken, ms", "changes, /s", "of the poll interval, x"),
        rows,
        (f"idle: median of {_IDLE_POLLS} polls.",),
    )


def _measure_after_burst(pipeline: Pipeline, first: int, last: int, interval_s: float) -> tuple[Value, ...]:
    pipeline.change_results(first, last)
    done = pipeline.poller.poll()
    rate = done.count / done.seconds if done.count else None
    return ("after a burst", done.count, milliseconds(done.seconds), rate, done.seconds / interval_s)


def _measure_idle(pipeline: Pipeline, name: str, interval_s: float) -> tuple[Value, ...]:
    median_s = statistics.median(seconds(pipeline.poller.poll) for _ in range(_IDLE_POLLS))
    return (name, 0, milliseconds(median_s), None, median_s / interval_s)
