"""Servers for the benchmarks, with one population, and a pipeline over a fresh copy of it for each benchmark."""

import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.population import generate
from lambda_pipeline.development import embedded
from lambda_pipeline.serving import Serving
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline.views import View, load_views

_POPULATION = "population"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the measurements.

    Attributes:
        patients: number of patients in the synthetic population.
        ndjson: folder of NDJSON files, plain or gzipped, to use instead of the synthetic population.
        entries: number of entries in a full overlay; at most the number of laboratory results.
        commits: number of commits whose delay until they are visible is measured.
        rounds: repetitions of a measurement, of which the shortest counts.
    """

    patients: int = 2_000
    ndjson: Path | None = None
    entries: int = 10_000
    commits: int = 20
    rounds: int = 5


class Pipeline:
    """Source, batch, speed and serving layer of the product over one database."""

    def __init__(self, database_url: str, redis_url: str, sizes: Sizes) -> None:
        self.sizes = sizes
        self.settings = Settings(redis_prefix=f"benchmark_{uuid.uuid4().hex[:8]}")
        self.views: tuple[View, ...] = load_views(sql_directory() / "view_definitions")
        self.database = Database(database_url)
        self.overlay = Overlay(redis_url, self.settings)
        self.demo = DemoHapi(self.database, referential_integrity=False)
        self.poller = Poller(self.database, self.overlay, self.views, self.settings)
        self.serving = Serving(self.database, self.overlay, self.views, self.settings)

    def view(self, name: str) -> View:
        """The view with this name."""
        return next(view for view in self.views if view.name == name)

    def refresh(self, *, full: bool = False) -> Generation:
        """Publish a generation of all views."""
        return refresh(self.database, self.views, self.settings, full=full)

    def change_results(self, first: int, last: int) -> int:
        """Write a new version of the laboratory results from position first to last (exclusive), oldest first.

        Returns:
            The number of changed results.
        """
        return self._change_resources(_RESULTS, first, last)

    def change_patients(self, first: int, last: int) -> int:
        """Write a new version of the patients from position first to last (exclusive); returns their number."""
        return self._change_resources(_PATIENTS, first, last)

    def _change_resources(self, statement: str, first: int, last: int) -> int:
        with self.database.connect() as connection:
            found = connection.execute(statement.encode(), {"offset": first, "count": last - first}).fetchall()
        mark = uuid.uuid4().hex
        return self.demo.load(
            {**bodies.parse(text), "id": logical_id, "language": f"x-{mark[:6]}"} for logical_id, text in found
        )

    def close(self) -> None:
        """Close pooled connections."""
        self.serving.close()


class Bench:
    """The servers of one run, with a population of which each benchmark gets a copy."""

    def __init__(self, servers: embedded.Servers, sizes: Sizes) -> None:
        self.servers = servers
        self.sizes = sizes
        database = Database(self._create_database(_POPULATION))
        # Records of a sample may refer to resources that are not in it.
        demo = DemoHapi(database, referential_integrity=sizes.ndjson is None)
        demo.install()
        if sizes.ndjson is None:
            self.resources = demo.load(generate(sizes.patients))
        else:
            self.resources = sum(
                loaded.resources for loaded in load_files(demo, sorted(sizes.ndjson.glob("*.ndjson*"))).values()
            )
        with database.connect() as connection:
            connection.execute("VACUUM ANALYZE")
        database.close()

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """Open a pipeline over a fresh copy of the population, without a generation and with an empty overlay."""
        name = f"benchmark_{uuid.uuid4().hex[:8]}"
        pipeline = Pipeline(self._create_database(name, template=_POPULATION), self.servers.redis_url, self.sizes)
        pipeline.overlay.client.flushall()
        try:
            yield pipeline
        finally:
            pipeline.close()
            with self._connect_to_maintenance() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def facts(self) -> Mapping[str, Any]:
        """The facts on which the numbers depend."""
        with self._connect_to_maintenance() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        return {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "postgresql": row[0],
            "population": "synthetic" if self.sizes.ndjson is None else self.sizes.ndjson.name,
            "resources": self.resources,
        }

    @contextmanager
    def _connect_to_maintenance(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(_with_database(self.servers.postgres_url, "postgres"), autocommit=True) as connection:
            yield connection

    def _create_database(self, name: str, *, template: str = "template1") -> str:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with self._connect_to_maintenance() as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return _with_database(self.servers.postgres_url, name)


@contextmanager
def open_bench(sizes: Sizes) -> Iterator[Bench]:
    """Start servers in a temporary folder and create the population; stop and remove everything at the end."""
    home = Path(tempfile.mkdtemp(prefix="lambda_pipeline_benchmarks_"))
    # Started by root, PostgreSQL runs as another account, which must be able to enter the folder.
    home.chmod(0o755)
    try:
        yield Bench(embedded.start(home), sizes)
    finally:
        embedded.clean(home)
        shutil.rmtree(home, ignore_errors=True)


def _with_database(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)


_CURRENT = """
SELECT r.fhir_id, v.res_text_vc
  FROM hfj_resource r JOIN hfj_res_ver v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
 WHERE r.res_deleted_at IS NULL AND {which}
 ORDER BY r.res_id OFFSET %(offset)s LIMIT %(count)s"""

_RESULTS = _CURRENT.format(which="r.res_type = 'Observation' AND strpos(v.res_text_vc, '\"laboratory\"') > 0")
_PATIENTS = _CURRENT.format(which="r.res_type = 'Patient'")
