"""Real servers for the tests, in temporary folders, and never the ones somebody configured."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from lambda_pipeline.development import embedded
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.servers import FAST, PROJECT, SERVER_VARIABLES, OwnRedis, beside
from lambda_pipeline_tests.support.worlds import World

hypothesis_settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis_settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def no_configured_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees a server or a setting of the environment it runs in."""
    for name in list(os.environ):
        if name in SERVER_VARIABLES or name.startswith("LAMBDA_PIPELINE_"):
            monkeypatch.delenv(name)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def no_servers_in_the_checkout() -> Iterator[None]:
    """No test starts servers in the checkout's own home, where nobody would stop them."""
    home = PROJECT / ".lambda_pipeline"
    there = home.exists()
    yield
    assert there or not home.exists(), f"a test without servers of its own started some in {home}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data and conformance tests, beside the project."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: recorded HAPI data and conformance files")
    return folder


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """The folder of the session's servers; not pytest's, which root's PostgreSQL account cannot enter."""
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    folder.chmod(0o755)
    yield folder
    embedded.clean(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_home: Path) -> str:
    """URL of the maintenance database of the session's PostgreSQL: create others beside it, put nothing into it."""
    servers = embedded.start(server_home, redis=False, settings=FAST)
    return beside(servers.postgres_url, "postgres")


@pytest.fixture
def new_database(postgres_url: str) -> Iterator[Callable[..., str]]:
    """`new_database(template=None)`: the URL of a fresh database, dropped after the test.

    `template` is the name or the URL of a database to copy, to which nobody is connected.
    """
    made: list[str] = []

    def create(template: str | None = None) -> str:
        name = f"test_{uuid.uuid4().hex}"
        source = template or "template1"
        if "://" in source:
            source = sa.make_url(source).database or ""
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
            )
        made.append(name)
        return beside(postgres_url, name)

    yield create
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(new_database: Callable[..., str]) -> str:
    """URL of one fresh, empty database."""
    return new_database()


@pytest.fixture(scope="session")
def redis_server(server_home: Path) -> str:
    """URL of the session's Valkey; tests take `redis_url`, which is empty when they begin."""
    return embedded.start(server_home, postgres=False).redis_url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """URL of the session's Valkey, emptied. Tests that restart or reconfigure it take `own_redis`."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """A private Valkey: `url`, `stop()`, `start()`, `restart(persist=...)`."""
    home = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    yield OwnRedis(home)
    embedded.clean(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def empty_world(database_url: str, redis_url: str) -> Iterator[World]:
    """Views over an empty source; nothing refreshed yet."""
    made = World(database_url, redis_url)
    yield made
    made.serving.close()


@pytest.fixture
def published_cohort(empty_world: World) -> World:
    """Three patients with diabetes, two of them male, in a published generation; polled once."""
    for logical_id, gender in [("a", "male"), ("b", "male"), ("c", "female")]:
        empty_world.demo.update(patient(logical_id, gender, name=[{"given": ["X", "Y"]}]))
        empty_world.demo.update(condition(f"dm-{logical_id}", logical_id))
    empty_world.demo.update(height("h1", "a", 181))
    empty_world.refresh()
    empty_world.poll()
    return empty_world


@pytest.fixture
def make_world(new_database: Callable[..., str], redis_url: str) -> Iterator[Callable[..., World]]:
    """Worlds with settings of their own."""
    made: list[World] = []

    def make(url: str | None = None, **settings: Any) -> World:
        made.append(World(new_database(), url or redis_url, Settings(**settings)))
        return made[-1]

    yield make
    for one in made:
        one.serving.close()
