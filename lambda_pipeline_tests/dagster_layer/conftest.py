"""A deployment for Dagster: its variables set as an operator sets them, on the test servers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.api import open_deployment
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.pipeline.conftest import CONDITIONS, PATIENTS, condition, patient

Json = dict[str, Any]


class Site:
    """HAPI-shaped source, its own Redis database, and Dagster's definitions over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.define(PATIENTS, CONDITIONS)

    def define(self, *definitions: Json) -> dg.Definitions:
        """Deploy these views: the files, and the code location as it loads them."""
        # A new folder each time, as a new process would read it: views are read once per folder.
        folder = self.folder / f"views-{len(list(self.folder.glob('views-*')))}"
        folder.mkdir(parents=True)
        for definition in definitions:
            (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
        self.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(folder))
        self.definitions = build_definitions(load_settings())
        self.deployment = open_deployment()
        self.demo = DemoHapi(self.deployment.database, referential_integrity=False)
        return self.definitions

    setenv: Callable[[str, str], None]

    def run(self, job: str, config: Json | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            run_config=config or {}, instance=self.instance, raise_on_error=False, **options
        )

    def refresh(self) -> dg.ExecuteInProcessResult:
        return self.run("nightly_refresh")

    def tick(self, cursor: str | None = None) -> Any:
        """One tick of the sensor, its events stored as the daemon stores them."""
        sensor = self.definitions.resolve_sensor_def("capture_changes")
        resources = {"deployment": self.definitions.resources["deployment"]}
        with dg.build_sensor_context(instance=self.instance, cursor=cursor, resources=resources) as context:
            tick = sensor.evaluate_tick(context)
        for event in tick.asset_events:
            self.instance.report_runless_asset_event(event)
        return tick

    def latest(self, *path: str) -> dg.AssetMaterialization | None:
        """The newest materialization of an asset."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(list(path)))
        return event.asset_materialization if event else None


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
