"""The cost of finding and quarantining one resource that cannot be read among many."""

from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding
from benchmarks.timing import milliseconds
from lambda_pipeline.batch.refresh import refresh

_MALFORMED = '{"resourceType":"Observation","status":'


def unreadable(bench: Bench) -> Finding:
    """Build a view over all observations, alternately without and with one malformed body."""
    name = "observation_labs"
    with bench.pipeline() as clean, bench.pipeline() as damaged:
        with damaged.database.connect() as connection:
            connection.execute(_DAMAGE_ONE, {"text": _MALFORMED})
            ((resources,),) = connection.execute(_COUNT).fetchall()
        times = [
            (_build(clean, name, quarantined=0), _build(damaged, name, quarantined=1))
            for _ in range(bench.sizes.rounds)
        ]
    clean_s, damaged_s = map(min, zip(*times, strict=True))
    return Finding(
        "unreadable",
        f"a full build in chunks of {clean.settings.build_chunk_rows:,} resources, with one that is not JSON",
        ("view", "resources", "unreadable", "build, ms", "to clean, x"),
        [
            (name, resources, 0, milliseconds(clean_s), 1.0),
            (name, resources, 1, milliseconds(damaged_s), damaged_s / clean_s),
        ],
        ("Only a chunk that fails is halved until the resource is found.",),
    )


def _build(pipeline: Pipeline, name: str, *, quarantined: int) -> float:
    """Build the view in full; returns the seconds it took."""
    built = refresh(pipeline.database, [pipeline.view(name)], pipeline.settings, full=True).views[name]
    if built.quarantined != quarantined:
        raise AssertionError(f"{built.quarantined} resources are quarantined instead of {quarantined}")
    return built.seconds


_COUNT = "SELECT count(*) FROM hfj_resource WHERE res_type = 'Observation' AND res_deleted_at IS NULL"

_DAMAGE_ONE = """
UPDATE hfj_res_ver v SET res_text_vc = %(text)s
  FROM (SELECT res_id, res_ver FROM hfj_resource WHERE res_type = 'Observation' AND res_deleted_at IS NULL
         ORDER BY abs(res_id - (SELECT avg(res_id) FROM hfj_resource WHERE res_type = 'Observation')) LIMIT 1) middle
 WHERE v.res_id = middle.res_id AND v.res_ver = middle.res_ver"""
