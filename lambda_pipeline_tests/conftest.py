"""Real servers for the tests, in temporary folders, and never the ones somebody configured."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from lambda_pipeline.development import embedded
from lambda_pipeline.settings import load_settings

hypothesis_settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis_settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

PROJECT = Path(__file__).resolve().parents[1]
SERVER_VARIABLES = {"HAPI_DB_URL", "BATCH_DB_URL", "REDIS_URL", "DAGSTER_PG_URL", "DAGSTER_HOME"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


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


class OwnRedis:
    """A Valkey of one test, to be hurt."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = embedded.start(home, postgres=False).redis_url

    def stop(self) -> None:
        """End it cleanly; its files stay."""
        embedded.stop(self.home)

    def start(self) -> None:
        """Start it again on its files, under the same URL."""
        embedded.start(self.home, postgres=False)

    def restart(self, *, persist: bool) -> None:
        """Stop and start it: with all it had, or empty."""
        self.stop()
        if not persist:
            shutil.rmtree(self.home / "valkey")
        self.start()


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """A private Valkey: `url`, `stop()`, `start()`, `restart(persist=...)`."""
    home = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    yield OwnRedis(home)
    embedded.clean(home)
    shutil.rmtree(home, ignore_errors=True)


def beside(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)
