"""Merged answers compared with those of the batch layer alone, with a full overlay."""

from collections.abc import Callable
from functools import partial

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import best, milliseconds
from lambda_pipeline.serving import Answer, Mode

COUNT = "SELECT count(*) AS results FROM observation_labs"
COHORT = """
SELECT count(DISTINCT p.id) AS patients
  FROM patient_demographics p JOIN observation_labs l ON l.patient_id = p.id
 WHERE p.gender = 'male' AND l.loinc_code = '4548-4' AND l.value_quantity > 6.5"""


def merged_count(bench: Bench) -> Finding:
    """Measure a count over one view and a cohort over two, in `live` and in `batch` mode."""
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        results = pipeline.change_results(0, bench.sizes.entries)
        patients = pipeline.change_patients(0, bench.sizes.entries // 10)
        pipeline.poller.poll()
        questions: dict[str, tuple[int, Callable[[Mode], Answer]]] = {
            "SELECT count(*) over one view": (results, lambda mode: pipeline.serving.select(COUNT, mode=mode)),
            "the same, with added and removed": (
                results, lambda mode: pipeline.serving.query("observation_labs", limit=0, mode=mode),
            ),
            "cohort over two views": (
                results + patients, lambda mode: pipeline.serving.select(COHORT, mode=mode),
            ),
        }  # fmt: skip
        rows = [_measure(pipeline, name, *question) for name, question in questions.items()]
    return Finding(
        "merged_count",
        "answers of batch and overlay merged, compared with batch alone; measured in Python, from call to result",
        ("question", "overlay entries", "batch, ms", "live, ms", "live to batch, x"),
        rows,
    )


def _measure(pipeline: Pipeline, name: str, entries: int, ask: Callable[[Mode], Answer]) -> tuple[Value, ...]:
    live = ask("live")
    if live.notes:
        raise AssertionError(f"not answered from the overlay: {live.notes[0]}")
    times = best({"batch": partial(ask, "batch"), "live": partial(ask, "live")}, pipeline.sizes.rounds)
    return (
        name, entries, milliseconds(times["batch"]), milliseconds(times["live"]), times["live"] / times["batch"],
    )  # fmt: skip
