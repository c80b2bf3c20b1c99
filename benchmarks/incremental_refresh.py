"""Refreshes that apply changes, compared with one that builds everything."""

from benchmarks.pipeline import Bench
from benchmarks.report import Finding, Value
from benchmarks.timing import milliseconds, seconds


def incremental_refresh(bench: Bench) -> Finding:
    """Measure refreshes after no change, and after bursts of up to half a full overlay."""
    entries = bench.sizes.entries
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        full_build_s = min(seconds(lambda: pipeline.refresh(full=True)) for _ in range(2))
        rows: list[tuple[Value, ...]] = []
        for burst in (0, max(1, entries // 100), max(1, entries // 10), entries // 2):
            changed = pipeline.change_results(0, burst)
            refresh_s = seconds(pipeline.refresh)
            rows.append((changed, changed / bench.resources * 100, milliseconds(refresh_s), refresh_s / full_build_s))
        rows.append((bench.resources, 100.0, milliseconds(full_build_s), 1.0))
    return Finding(
        "incremental_refresh",
        "all views from one snapshot, published; the last line is the full build",
        ("changed resources", "of all, %", "refresh, ms", "to a full build, x"),
        rows,
    )
