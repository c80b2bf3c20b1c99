"""One resource that cannot be read among many: what it costs to find it and go on without it."""

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding
from benchmarks.timing import milliseconds
from lambda_pipeline.batch.refresh import refresh

_MALFORMED = '{"resourceType":"Observation","status":'


def unreadable(bench: Bench) -> Finding:
    """Build a view over all observations, clean and with one malformed body, in turns."""
    name = "observation_labs"
    with bench.pipeline() as clean, bench.pipeline() as damaged:
        with damaged.database.connect() as connection:
            found = connection.execute(_MIDDLE).fetchone()
        assert found is not None
        logical_id, resources = found
        damaged.demo.write_raw("Observation", logical_id, _MALFORMED)
        taken = [(_built(clean, name, bad=0), _built(damaged, name, bad=1)) for _ in range(bench.sizes.rounds)]
    clean_s, damaged_s = (min(times) for times in zip(*taken, strict=True))
    return Finding(
        "unreadable",
        f"a full build in chunks of {clean.settings.build_chunk_rows:,} resources, with one that is not JSON",
        ("view", "resources", "unreadable", "build, ms", "to clean, x"),
        [
            (name, resources, 0, milliseconds(clean_s), 1.0),
            (name, resources, 1, milliseconds(damaged_s), damaged_s / clean_s),
        ],
        ("A chunk that fails is halved until the resource is found; other chunks are not.",),
    )


def _built(pipeline: Pipeline, name: str, *, bad: int) -> float:
    """How long a full build took, in seconds."""
    held = refresh(pipeline.database, [pipeline.view(name)], pipeline.settings, full=True).views[name]
    if held.quarantined != bad:
        raise AssertionError(f"{held.quarantined} resources are quarantined instead of {bad}")
    return held.seconds


_MIDDLE = """
SELECT fhir_id, count(*) OVER ()
  FROM hfj_resource WHERE res_type = 'Observation' AND res_deleted_at IS NULL
 ORDER BY abs(res_id - (SELECT avg(res_id) FROM hfj_resource WHERE res_type = 'Observation')) LIMIT 1"""
