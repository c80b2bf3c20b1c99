"""One resource that cannot be read among many: what it costs to find it and go on without it."""

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import milliseconds
from lambda_pipeline.batch.refresh import refresh

_MALFORMED = '{"resourceType":"Observation","status":'


def unreadable(bench: Bench) -> Finding:
    """Build a view over all observations, clean and with one malformed body."""
    rows: list[tuple[Value, ...]] = []
    with bench.pipeline() as pipeline:
        name = "observation_labs"
        clean_s = _built(pipeline, name, bad=0)
        with pipeline.database.connect() as connection:
            found = connection.execute(_MIDDLE).fetchone()
        assert found is not None
        pipeline.demo.write_raw("Observation", found[0], _MALFORMED)
        bad_s = _built(pipeline, name, bad=1)
        resources = found[1]
    rows.append((name, resources, 0, milliseconds(clean_s), 1.0))
    rows.append((name, resources, 1, milliseconds(bad_s), bad_s / clean_s))
    return Finding(
        "unreadable",
        f"a full build in chunks of {pipeline.settings.build_chunk_rows:,} resources, with one that is not JSON",
        ("view", "resources", "unreadable", "build, ms", "to clean, x"),
        rows,
        ("A chunk that fails is halved until the resource is found; other chunks are not.",),
    )


def _built(pipeline: Pipeline, name: str, *, bad: int) -> float:
    """The shortest of a few full builds, in seconds."""
    taken = []
    for _ in range(pipeline.sizes.rounds):
        generation = refresh(pipeline.database, [pipeline.view(name)], pipeline.settings, full=True)
        held = generation.views[name]
        if held.quarantined != bad:
            raise AssertionError(f"{held.quarantined} resources are quarantined instead of {bad}")
        taken.append(held.seconds)
    return min(taken)


_MIDDLE = """
SELECT fhir_id, count(*) OVER ()
  FROM hfj_resource WHERE res_type = 'Observation' AND res_deleted_at IS NULL
 ORDER BY abs(res_id - (SELECT avg(res_id) FROM hfj_resource WHERE res_type = 'Observation')) LIMIT 1"""
