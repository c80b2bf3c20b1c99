"""A demo server over a fresh database, and fixtures that read its rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.clocks import Rows, SteppingClock


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def demo(database: Database, clock: SteppingClock) -> DemoHapi:
    server = DemoHapi(database, clock=clock)
    server.install()
    return server


@pytest.fixture
def rows(database: Database) -> Rows:
    def read(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        with database.connect() as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    return read


@pytest.fixture
def versions(rows: Rows) -> Callable[[str], list[tuple[Any, ...]]]:
    """`versions(id)`: number, encoding and text of each version of the resource with this id."""

    def read(logical_id: str) -> list[tuple[Any, ...]]:
        return rows(
            "SELECT v.res_ver, v.res_encoding, v.res_text_vc FROM hfj_res_ver v JOIN hfj_resource r USING (res_id)"
            " WHERE r.fhir_id = %(id)s ORDER BY v.res_ver",
            id=logical_id,
        )

    return read


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Requests to a real HAPI 8.8.0 and the rows they left."""
    return Path(__file__).parents[1] / "data" / "hapi-8.8"
