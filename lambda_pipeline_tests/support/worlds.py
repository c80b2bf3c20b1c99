"""A whole pipeline over a database of its own, and the same for Dagster."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from lambda_pipeline.api import open_deployment
from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.serving import Answer, Serving
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poll, Poller
from lambda_pipeline.views import View, compile_view
from lambda_pipeline_tests.support.definitions import (
    CONDITIONS,
    DEFINITIONS,
    MALE_DIABETICS,
    PATIENTS,
)


class World:
    """HAPI-shaped source, batch, overlay and serving, with the product's own code on each."""

    def __init__(self, database_url: str, redis_url: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.database = Database(database_url)
        self.overlay = Overlay(redis_url, self.settings)
        self.demo = DemoHapi(self.database, referential_integrity=False)
        self.demo.install()
        self.use(DEFINITIONS)

    def use(self, definitions: Sequence[dict[str, Any]]) -> None:
        """Deploy these views."""
        self.views: tuple[View, ...] = tuple(compile_view(definition) for definition in definitions)
        self.poller = Poller(self.database, self.overlay, self.views, self.settings)
        self.serving = Serving(self.database, self.overlay, self.views, self.settings)

    def refresh(self, **options: Any) -> Generation:
        return refresh(self.database, self.views, self.settings, **options)

    def poll(self) -> Poll:
        return self.poller.poll()

    def rows(self, view: str, mode: str = "live") -> Counter[tuple[str, ...]]:
        return multiset(self.serving.query(view, mode=mode))

    def cohort(self, mode: str = "live") -> set[str]:
        return set(self.serving.select(MALE_DIABETICS, mode=mode).frame["id"])

    def assert_exact(self) -> None:
        """Every view and the cohort: what is served equals the recompute. Only after a poll or a refresh."""
        for view in self.views:
            assert self.rows(view.name) == self.rows(view.name, "source"), view.name
        assert self.cohort() == self.cohort("source")


def multiset(answer: Answer) -> Counter[tuple[str, ...]]:
    return Counter(tuple(map(str, row)) for row in answer.frame.itertuples(index=False))


Json = dict[str, Any]


class Site:
    """HAPI-shaped source, its own Redis database, and Dagster's definitions over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.define(PATIENTS, CONDITIONS)

    def define(self, *definitions: Json, tests: str = "") -> dg.Definitions:
        """Deploy these views: the files, `tests` as those of the first, and the code location as it loads them."""
        # A new folder each time, as a new process would read it: views are read once per folder.
        folder = self.folder / f"views-{len(list(self.folder.glob('views-*')))}"
        folder.mkdir(parents=True)
        for definition in definitions:
            (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
        if tests:
            (folder / f"{definitions[0]['name']}.tests.yaml").write_text(tests)
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
