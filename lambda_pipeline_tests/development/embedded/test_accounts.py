"""Who the servers run as, and what those may enter."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from lambda_pipeline.development import embedded
from lambda_pipeline.development.embedded.account import server_account
from lambda_pipeline.development.embedded.binaries import postgres_installation
from lambda_pipeline.development.embedded.home import open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline_tests.development.embedded.test_start_and_stop import START, put
from lambda_pipeline_tests.support.servers import PROJECT

LIFE = """
import os, signal, sys
from pathlib import Path
import psycopg, redis
from lambda_pipeline.development import embedded
from lambda_pipeline.development.embedded.home import open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.embedded.valkey import Valkey

home = Path(sys.argv[1])
servers = embedded.start(home)
with psycopg.connect(servers.postgres_url) as connection:
    connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
with redis.Redis.from_url(servers.redis_url) as client:
    client.set("key", "value")
for server in (Postgres(open_home(home)), Valkey(open_home(home))):
    [leader] = server.leaders()
    assert os.stat(f"/proc/{leader.pid}").st_uid == os.geteuid()
    os.kill(leader.pid, signal.SIGKILL)
assert embedded.start(home) == servers
assert embedded.stop(home) == ["PostgreSQL", "Valkey"]
assert embedded.start(home) == servers
with psycopg.connect(servers.postgres_url) as connection:
    assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
with redis.Redis.from_url(servers.redis_url) as client:
    assert client.get("key") == b"value"
assert {"postgres", "valkey"} <= {entry.name for entry in home.iterdir()}
if sys.argv[2:] == ["clean"]:
    embedded.clean(home)
    assert not home.exists()
"""


@pytest.fixture
def as_nobody(as_root: None, place: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`as_nobody(script, *arguments)`: the script run by an ordinary user, who cannot run root's own interpreter."""
    nobody = pwd.getpwnam("nobody")
    user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    prefix = copy_of_the_interpreter(place / "python")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(place),
        "PYTHONHOME": str(prefix),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *packages]),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }

    def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [prefix / "bin" / "python", "-B", "-c", script, *arguments],
            cwd="/", env=environment, text=True, capture_output=True, check=False, timeout=200, **user,
        )  # fmt: skip

    tried = run("import lambda_pipeline.development.embedded")
    if tried.returncode != 0:
        pytest.skip(f"user nobody cannot read the project: {tried.stderr.splitlines()[-1:]}")
    return run


def copy_of_the_interpreter(prefix: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sys.base_prefix) / "lib"
    leave = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*", "idlelib", "tkinter")
    shutil.copytree(library / version, prefix / "lib" / version, ignore=leave)
    for shared_library in library.glob("libpython*.so*"):
        shutil.copy(shared_library, prefix / "lib")
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.base_prefix) / "bin" / version, prefix / "bin" / "python")
    return prefix


def test_an_ordinary_user_keeps_everything_in_the_home(
    as_nobody: Callable[..., subprocess.CompletedProcess[str]], place: Path
) -> None:
    own = place / "of nobody"
    own.mkdir()
    shutil.chown(own, "nobody")
    own.chmod(0o700)
    lived = as_nobody(LIFE, own / "home", "clean")
    assert lived.returncode == 0, lived.stderr
    assert list(own.iterdir()) == []
    assert own.stat().st_mode & 0o777 == 0o700


def test_another_users_servers_are_refused_and_left_alone(
    as_nobody: Callable[..., subprocess.CompletedProcess[str]], home: Path
) -> None:
    servers = embedded.start(home)
    for call in ("start", "stop", "clean"):
        refused = as_nobody(f"import sys; from pathlib import Path; from lambda_pipeline.development import embedded\n"
                            f"embedded.{call}(Path(sys.argv[1]))", home)  # fmt: skip
        assert "ConfigurationError" in refused.stderr, call
        assert "HAPI_DB_URL" in refused.stderr, call
    assert embedded.running(home) == servers


def test_roots_postgres_runs_under_an_unprivileged_account(as_root: None, new_home: Path) -> None:
    embedded.start(new_home)
    account = server_account()
    assert account.name in {"postgres", "nobody"}
    cluster = Postgres(open_home(new_home))
    [postmaster] = cluster.leaders()
    assert Path(f"/proc/{postmaster.pid}").stat().st_uid == account.uid
    assert cluster.data == new_home / "postgres" / "data"
    assert cluster.data.stat().st_uid == account.uid
    assert open_home(new_home).sockets("postgres").stat().st_uid == account.uid


def test_root_with_a_home_below_a_private_folder_uses_the_system_wide_place(as_root: None, place: Path) -> None:
    place.chmod(0o700)
    home = place / "checkout" / ".lambda_pipeline"
    found = open_home(home)
    try:
        servers = embedded.start(home)
        put(servers, "kept")
        assert Postgres(found).data.is_relative_to(found.system_state)
        assert not (home / "postgres").exists()
        assert place.stat().st_mode & 0o777 == 0o700
        embedded.stop(home)
        assert embedded.start(home) == servers
        with psycopg.connect(servers.postgres_url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [("kept",)]
    finally:
        embedded.clean(home)
    assert not found.system_state.exists()
    assert not home.exists()
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_cluster_whose_folder_was_closed_is_not_replaced_by_an_empty_one(
    as_root: None, place: Path, home: Path
) -> None:
    embedded.start(home, redis=False)
    embedded.stop(home)
    place.chmod(0o700)
    with pytest.raises(ConfigurationError, match="cannot enter"):
        embedded.start(home, redis=False)
    place.chmod(0o755)
    assert embedded.start(home, redis=False).postgres_url


def test_programs_in_a_private_environment_are_copied(
    as_root: None, place: Path, home: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    package = postgres_installation().parent
    private = place / "private"
    private.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name, symlinks=True)
    environment = {**os.environ, "PYTHONPATH": str(private)}
    started = python(START, home, env=environment)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 0, errors
    [postmaster] = Postgres(open_home(home)).leaders()
    assert postmaster.command.startswith(str(home / "binaries"))
    assert private.stat().st_mode & 0o777 == 0o700
    embedded.stop(home)
    again = python(START, home, env=environment)
    again.communicate(timeout=120)
    assert len(list((home / "binaries").iterdir())) == 1
    embedded.clean(home)
    assert not home.exists()


def test_a_socket_folder_of_somebody_else_is_refused(as_root: None, home: Path) -> None:
    sockets = open_home(home).sockets("valkey")
    sockets.mkdir(mode=0o700)
    shutil.chown(sockets, "nobody")
    with pytest.raises(ConfigurationError, match="is not a directory of user root"):
        embedded.start(home, postgres=False)


def test_a_link_in_place_of_the_socket_folder_is_refused(home: Path, place: Path) -> None:
    sockets = open_home(home).sockets("valkey")
    (place / "elsewhere").mkdir(mode=0o700)
    sockets.symlink_to(place / "elsewhere")
    try:
        with pytest.raises(ConfigurationError, match="is not a directory of user"):
            embedded.start(home, postgres=False)
    finally:
        sockets.unlink()
