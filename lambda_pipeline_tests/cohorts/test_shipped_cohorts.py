"""The definitions of sql/cohorts over the data of `make dev`: the numbers that docs/cohorts.md shows."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambda_pipeline.cli.cohorts import describe, draw
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.cohort import find_patients_with_diabetes
from lambda_pipeline.demo.hospital.day import simulate_day
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.support.servers import PROJECT

COHORTS = sql_directory() / "cohorts"
FILES = sorted(COHORTS.glob("*.yaml"))


@pytest.fixture(scope="module")
def page() -> str:
    return (PROJECT / "docs" / "cohorts.md").read_text()


@pytest.fixture
def night(new_database: Callable[..., str], redis_url: str) -> Iterator[Deployment]:
    """What `make dev` has when it is started for the first time."""
    settings = Settings()
    urls = ServerUrls(new_database(), redis_url, embedded_postgres=False, embedded_redis=False)
    with Deployment(urls, load_views(settings.view_definitions), settings) as deployment:
        populate(DemoHapi(deployment.database))
        deployment.refresh()
        yield deployment


def test_shipped_definitions_find_what_the_page_shows_and_merge_what_the_day_brings(
    night: Deployment, page: str
) -> None:
    shown = draw(night.ask(COHORTS / "uncontrolled_diabetes.yaml"))
    (block,) = [block for block in indented(page) if block.startswith("Uncontrolled type 2 diabetes: ")]
    assert shown == block
    assert night.ask(COHORTS / "men_with_diabetes.yaml").persons == 56

    demo = DemoHapi(night.database)
    simulate_day(demo)
    night.poller.poll()
    for path in FILES:
        live, batch, source = (night.ask(path, mode=mode, persons=True) for mode in ("live", "batch", "source"))  # type: ignore[arg-type]
        assert (live.attrition, live.breakdown, live.left_out) == (source.attrition, source.breakdown, source.left_out)
        assert live.person_ids == source.person_ids
        assert live.sources == ("batch generation 1", "overlay")
        assert live.persons != batch.persons
        assert not any("warning" in line for line in describe(live))
        assert f"lambda-pipeline ask sql/cohorts/{path.name}" in path.read_text()
    men = night.ask(COHORTS / "men_with_diabetes.yaml", persons=True)
    assert set(men.person_ids or ()) == set(find_patients_with_diabetes(demo, gender="male"))
    assert men.persons == 60


def indented(page: str) -> list[str]:
    """Blocks of output: lines that are indented by four."""
    found = re.findall(r"(?:^(?: {4}.*)?\n)+", page, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") for block in found]


def test_there_are_worked_examples() -> None:
    assert {path.name for path in FILES} >= {"men_with_diabetes.yaml", "uncontrolled_diabetes.yaml"}
    assert all(Path(PROJECT / "sql" / "code_sets" / name).exists() for name in ("diabetes_mellitus.yaml",))
