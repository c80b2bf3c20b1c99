"""Every file of sql/queries answers over the synthetic population, merged and recomputed alike."""

from collections.abc import Callable, Iterator

import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.cohort import find_patients_with_diabetes
from lambda_pipeline.demo.hospital.day import simulate_day
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.views import load_views

PARAMETERS = {
    "poorly_controlled_diabetes": {"threshold": "7"},
    "diabetes_by_age": {"index_date": "2026-01-01"},
    "procedures_since": {"since": "2020-01-01"},
}
QUERIES = sorted((sql_directory() / "queries").glob("*.sql"))


@pytest.fixture
def population(new_database: Callable[..., str], redis_url: str) -> Iterator[Deployment]:
    settings = Settings()
    urls = ServerUrls(new_database(), redis_url, embedded_postgres=False, embedded_redis=False)
    with Deployment(urls, load_views(settings.view_definitions), settings) as deployment:
        demo = DemoHapi(deployment.database)
        populate(demo, patients=300)
        deployment.refresh()
        simulate_day(demo)
        deployment.poller.poll()
        yield deployment


def test_every_saved_query_answers(population: Deployment) -> None:
    assert {path.stem for path in QUERIES} >= {"male_diabetics", "active_medications", *PARAMETERS}
    for path in QUERIES:
        statement, parameters = path.read_text(), PARAMETERS.get(path.stem, {})
        live = population.serving.select(statement, parameters, compare=True)
        source = population.serving.select(statement, parameters, mode="source")
        assert live.row_count > 0, path.stem
        assert rows(live.frame) == rows(source.frame), path.stem
        assert f"lambda-pipeline sql sql/queries/{path.name}" in statement


def rows(frame: object) -> list[str]:
    return sorted(map(repr, frame.itertuples(index=False)))  # type: ignore[attr-defined]


def test_the_saved_query_of_the_demo_counts_what_the_source_holds(population: Deployment) -> None:
    statement = (sql_directory() / "queries" / "male_diabetics.sql").read_text()
    answer = population.serving.select(statement)
    assert set(answer.frame["patient_id"]) == set(
        find_patients_with_diabetes(DemoHapi(population.database), gender="male")
    )
    assert answer.row_count > 5
