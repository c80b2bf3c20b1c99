"""A deployment for Dagster: its variables set as an operator sets them, on the test servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.hospital import condition, patient
from lambda_pipeline_tests.support.worlds import Site


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Two views over an empty source; nothing refreshed yet."""

    def setenv(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        load_settings.cache_clear()

    for name, value in {
        "HAPI_DB_URL": database_url,
        "REDIS_URL": redis_url,
        "LAMBDA_PIPELINE_HOME": str(tmp_path / "home"),
        "LAMBDA_PIPELINE_TICK_BUDGET_S": "0.3",
        "LAMBDA_PIPELINE_POLL_INTERVAL_S": "0.1",
    }.items():
        setenv(name, value)
    Site.setenv = staticmethod(setenv)  # type: ignore[method-assign]
    made = Site(tmp_path)
    made.demo.install()
    yield made
    made.deployment.close()


@pytest.fixture
def night(site: Site) -> Site:
    """Three patients with diabetes in a generation that Dagster made."""
    for logical_id, gender in [("a", "male"), ("b", "male"), ("c", "female")]:
        site.demo.update(patient(logical_id, gender))
        site.demo.update(condition(f"dm-{logical_id}", logical_id))
    assert site.refresh().success
    return site
