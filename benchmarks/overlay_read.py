"""Reading the overlay: one view's entries out of Redis, as every live answer does."""

from benchmarks.pipeline import Bench
from benchmarks.report import Finding
from benchmarks.timing import best, milliseconds


def overlay_read(bench: Bench) -> Finding:
    """At a tenth of the entries, and at all of them."""
    measured: list[tuple[int, int, float]] = []
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        view = pipeline.view("observation_labs")
        held = 0
        for target in (max(1, bench.sizes.entries // 10), bench.sizes.entries):
            pipeline.change_results(held, target)
            pipeline.poller.poll()
            entries = pipeline.overlay.read({view.name: view.digest}).rows[view.name]
            held = len(entries)
            taken = best({"read": lambda: pipeline.overlay.read({view.name: view.digest})}, pipeline.sizes.rounds + 2)[
                "read"
            ]
            measured.append((held, sum(map(len, entries.values())), taken))
    first = measured[0][2]
    return Finding(
        "overlay_read",
        "one atomic read of state, polls and the entries of observation_labs",
        ("entries", "text, kB", "read, ms", "entries, /s", "to the first, x"),
        [
            (entries, size / 1024, milliseconds(taken), entries / taken, taken / first)
            for entries, size, taken in measured
        ],
    )
