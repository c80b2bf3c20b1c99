"""Every file of sql/queries answers over the synthetic population, by its name, merged and recomputed alike."""

from collections.abc import Callable, Iterator

import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.cohort import find_patients_with_diabetes
from lambda_pipeline.demo.hospital.day import simulate_day
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.queries import read_queries
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.views import load_views

QUERIES = read_queries(sql_directory() / "queries")


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


def test_every_saved_query_answers_with_its_examples(population: Deployment) -> None:
    assert {query.name for query in QUERIES.queries} >= {"male_diabetics", "active_medications", "procedures_since"}
    for query in QUERIES.queries:
        examples = {parameter.name: parameter.example for parameter in query.parameters}
        live = population.run_query(query.name, examples, compare=True)
        source = population.run_query(query.name, examples, mode="source")
        assert live.row_count > 0, query.name
        assert rows(live.frame) == rows(source.frame), query.name
        assert f"lambda-pipeline sql {query.name}" in query.sql


def test_every_shipped_query_has_a_whole_header() -> None:
    for file in QUERIES.files:
        query = file.require()
        assert file.warnings == ()
        assert query.declared
        assert all((query.title, query.description, query.version, query.dependencies))
        assert query.status == "active"
        assert f"{query.name}.sql" == query.file
        assert all(parameter.text and parameter.example for parameter in query.parameters)


def rows(frame: object) -> list[str]:
    return sorted(map(repr, frame.itertuples(index=False)))  # type: ignore[attr-defined]


def test_the_saved_query_of_the_demo_counts_what_the_source_holds(population: Deployment) -> None:
    statement = (sql_directory() / "queries" / "male_diabetics.sql").read_text()
    answer = population.serving.select(statement)
    assert set(answer.frame["patient_id"]) == set(
        find_patients_with_diabetes(DemoHapi(population.database), gender="male")
    )
    assert answer.row_count > 5
