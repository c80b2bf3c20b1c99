"""Time from a commit in HAPI to the first answer that contains it, with a poll every poll interval."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from threading import Event
from typing import Any

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding
from benchmarks.timing import milliseconds
from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.serving import Filter, Operator

_QUESTION_INTERVAL_S = 0.02
_TIMEOUT_S = 60.0


def commit_to_visible(bench: Bench) -> Finding:
    """Measure patients that change one after another, at random moments of the poll interval."""
    random = Random(1)
    with bench.pipeline() as pipeline:
        pipeline.refresh()
        pipeline.poller.poll()
        interval_s = pipeline.settings.poll_interval_s
        patient = _read_first_patient(pipeline)
        delays = []
        with _poll_in_background(pipeline, interval_s) as poller:
            for number in range(bench.sizes.commits):
                time.sleep(random.random() * interval_s)
                birth_date = f"19{number % 100:02}-02-03"
                pipeline.demo.update({**patient, "birthDate": birth_date})
                delays.append(_wait_until_visible(pipeline, str(patient["id"]), birth_date, poller))
    delays.sort()
    statistics_s = {
        "shortest": delays[0],
        "median": statistics.median(delays),
        "90th percentile": delays[min(len(delays) - 1, int(len(delays) * 0.9))],
        "longest": delays[-1],
    }
    return Finding(
        "commit_to_visible",
        f"commit to first answer, {len(delays)} commits, a poll every {interval_s:g} s",
        ("commit to visible", "time, ms", "of the poll interval, x"),
        [(name, milliseconds(delay), delay / interval_s) for name, delay in statistics_s.items()],
        (f"A reader asks every {_QUESTION_INTERVAL_S * 1000:.0f} ms, which adds to the load.",),
    )


def _read_first_patient(pipeline: Pipeline) -> dict[str, Any]:
    with pipeline.database.connect() as connection:
        row = connection.execute(_FIRST_PATIENT).fetchone()
    assert row is not None
    return {**bodies.parse(row[1]), "id": row[0]}


def _wait_until_visible(pipeline: Pipeline, patient_id: str, birth_date: str, poller: "Future[None]") -> float:
    committed = time.perf_counter()
    where = [Filter("id", Operator.EQ, patient_id), Filter("birth_date", Operator.EQ, birth_date)]
    while True:
        answer = pipeline.serving.query("patient_simple", where=where)
        waited = time.perf_counter() - committed
        if answer.row_count:
            return waited
        if poller.done() or waited > _TIMEOUT_S:
            poller.result(timeout=0)
            raise AssertionError(f"not visible after {waited:.0f} s")
        time.sleep(_QUESTION_INTERVAL_S)


@contextmanager
def _poll_in_background(pipeline: Pipeline, interval_s: float) -> "Iterator[Future[None]]":
    stop = Event()

    def run() -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            pipeline.poller.poll()
            due += interval_s

    with ThreadPoolExecutor(1) as executor:
        poller = executor.submit(run)
        try:
            yield poller
        finally:
            stop.set()
        poller.result()


_FIRST_PATIENT = """
SELECT r.fhir_id, v.res_text_vc
  FROM hfj_resource r JOIN hfj_res_ver v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
 WHERE r.res_type = 'Patient' AND r.res_deleted_at IS NULL ORDER BY r.res_id LIMIT 1"""
