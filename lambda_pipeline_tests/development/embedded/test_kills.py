"""Servers, starters and files that go away at the wrong moment."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import redis

from lambda_pipeline.development import embedded
from lambda_pipeline.development.embedded import server as server_module
from lambda_pipeline.development.embedded.account import server_account
from lambda_pipeline.development.embedded.home import open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.embedded.valkey import Valkey
from lambda_pipeline.development.processes import find_processes, send_signal, wait_until
from lambda_pipeline.errors import ServerUnavailableError
from lambda_pipeline_tests.development.embedded.test_start_and_stop import START, kept, pids, put

# A suite that runs in the background has SIGINT ignored, and its children inherit that.
WAIT_AFTER_START = (
    f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{START}\nimport time\ntime.sleep(600)"
)


def kill_servers(home: Path) -> None:
    place = open_home(home)
    for server in (Postgres(place), Valkey(place)):
        send_signal(server.leaders(), signal.SIGKILL)


@pytest.mark.parametrize("how", ["interrupt the group", "kill the starter"])
def test_servers_outlive_their_starter(home: Path, python: Callable[..., subprocess.Popen[str]], how: str) -> None:
    starter = python(WAIT_AFTER_START, home, start_new_session=True)
    assert starter.stdout
    assert starter.stdout.readline()
    began = pids(home)
    if how == "interrupt the group":
        os.killpg(starter.pid, signal.SIGINT)
    else:
        starter.kill()
    starter.wait(timeout=30)
    time.sleep(0.5)
    assert embedded.running(home)
    assert pids(home) == began
    assert [len(found) for found in began] == [1, 1]


@pytest.mark.parametrize("pause_s", [0, 0.3, 1.5])
def test_killed_servers_come_back_with_all_that_was_acknowledged(home: Path, pause_s: float) -> None:
    servers = embedded.start(home)
    put(servers, "before")
    acknowledged: list[int] = []

    def write() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            for n in range(1_000_000):
                connection.execute("INSERT INTO kept VALUES ('n' || %(n)s)", {"n": n})
                acknowledged.append(n)

    def sleep() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            connection.execute("SELECT pg_sleep(600)")

    threads = [threading.Thread(target=work) for work in (write, sleep)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(acknowledged) > 20, 30)
    kill_servers(home)
    time.sleep(pause_s)
    assert embedded.start(home) == servers
    for thread in threads:
        thread.join(timeout=30)
    rows, members = kept(servers)
    assert {"before", *(f"n{n}" for n in acknowledged)} <= set(rows)
    assert members == {"before"}


SUBREAPER = """
import ctypes, os, signal, sys
from pathlib import Path
import psycopg, redis
from lambda_pipeline.development.embedded import start
from lambda_pipeline.development.embedded.home import open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.embedded.valkey import Valkey

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
home = Path(sys.argv[1])
servers = start(home)
with psycopg.connect(servers.postgres_url) as connection:
    connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
killed = [server.leaders()[0].pid for server in (Postgres(open_home(home)), Valkey(open_home(home)))]
for pid in killed:
    os.kill(pid, signal.SIGKILL)
assert start(home) == servers
for pid in killed:
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "the kernel let go of it"
with psycopg.connect(servers.postgres_url) as connection:
    assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
with redis.Redis.from_url(servers.redis_url) as client:
    assert client.ping()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see zombies")
def test_a_start_beside_zombies_of_killed_servers_works(
    home: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    started = python(SUBREAPER, home)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 0, errors


def test_a_stale_pid_file_that_names_a_stranger_is_not_believed(home: Path) -> None:
    servers = embedded.start(home)
    put(servers, "kept")
    place = open_home(home)
    pid_file = Postgres(place).data / "postmaster.pid"
    socket_lock = place.sockets("postgres") / ".s.PGSQL.5432.lock"
    left = pid_file.read_text(), socket_lock.read_text()
    pid = left[0].splitlines()[0]
    kill_servers(home)
    assert wait_until(lambda: not Postgres(place).attached(), 30)
    # PostgreSQL believes only in processes of its own account.
    account = server_account()
    with subprocess.Popen(["/bin/sleep", "600"], user=account.uid if account.other else None) as stranger:
        try:
            for file, text in zip((pid_file, socket_lock), left, strict=True):
                file.write_text(text.replace(pid, str(stranger.pid), 1))
            assert embedded.running(home) is None
            assert embedded.start(home) == servers
            assert kept(servers) == (["kept"], {"kept"})
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_servers_whose_sockets_were_removed_end_before_new_ones_start(home: Path) -> None:
    servers = embedded.start(home)
    put(servers, "kept")
    began = pids(home)
    for name in ("postgres", "valkey"):
        shutil.rmtree(open_home(home).sockets(name))
    assert embedded.start(home) == servers
    assert kept(servers) == (["kept"], {"kept"})
    now = pids(home)
    assert [len(found) for found in now] == [1, 1]
    assert all(old != new for old, new in zip(began, now, strict=True))


def test_a_home_removed_under_running_servers_is_a_new_home(home: Path) -> None:
    servers = embedded.start(home)
    put(servers, "gone")
    shutil.rmtree(home)
    assert embedded.start(home) == servers
    assert [len(found) for found in pids(home)] == [1, 1]
    with psycopg.connect(servers.postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.dbsize() == 0


def test_servers_of_a_removed_home_can_be_stopped(home: Path) -> None:
    embedded.start(home)
    shutil.rmtree(home)
    # PostgreSQL ends by itself once it notices that its files are gone; Valkey never does.
    assert embedded.stop(home)[-1] == "Valkey"
    assert pids(home) == [[], []]
    assert not home.exists()


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see who works in a cluster")
def test_a_backend_that_outlives_its_postmaster_is_named_and_not_joined(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ORPHANS_S", 1.0)
    servers = embedded.start(home, redis=False)
    cluster = Postgres(open_home(home))

    def spin() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    thread = threading.Thread(target=spin)
    thread.start()
    busy = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        assert wait_until(lambda: connection.execute(busy).fetchone() is not None, 30)
        row = connection.execute(busy).fetchone()
    assert row
    try:
        kill_servers(home)
        with pytest.raises(ServerUnavailableError, match=rf"processes {row[0]} do not end"):
            embedded.start(home, redis=False)
    finally:
        send_signal([process for process in cluster.attached() if process.pid == row[0]], signal.SIGKILL)
        thread.join(timeout=30)
    assert embedded.start(home, redis=False) == servers


def test_a_child_of_another_home_is_no_concern(home: Path, place: Path) -> None:
    other = place / "other"
    try:
        embedded.start(other, redis=False)
        embedded.start(home, redis=False)
        assert len(find_processes("postgres")) > len(Postgres(open_home(home)).attached())
        assert embedded.stop(home) == ["PostgreSQL"]
        assert embedded.running(other)
    finally:
        embedded.clean(other)
