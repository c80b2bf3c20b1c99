"""Read one view's entries from Redis, as every live answer does."""

from functools import partial

from benchmarks.pipeline import Bench
from benchmarks.report import Finding
from benchmarks.timing import best, milliseconds


def overlay_read(bench: Bench) -> Finding:
    """Measure the read with a tenth of the entries, and with all of them."""
    samples: list[tuple[int, int, float]] = []
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        view = pipeline.view("observation_labs")
        entry_count = 0
        for last in (max(1, bench.sizes.entries // 10), bench.sizes.entries):
            pipeline.change_results(entry_count, last)
            pipeline.poller.poll()
            digests = {view.name: view.digest}
            entries = pipeline.overlay.read(digests).rows[view.name]
            entry_count = len(entries)
            read_s = best({"read": partial(pipeline.overlay.read, digests)}, pipeline.sizes.rounds + 2)["read"]
            samples.append((entry_count, sum(map(len, entries.values())), read_s))
    first = samples[0][2]
    return Finding(
        "overlay_read",
        "one atomic read of state, polls and the entries of observation_labs",
        ("entries", "text, kB", "read, ms", "entries, /s", "to the first, x"),
        [
            (entries, size / 1024, milliseconds(read_s), entries / read_s, read_s / first)
            for entries, size, read_s in samples
        ],
    )
