"""The development deployment: the servers, data to look at, and Dagster with its UI, by one command and ended by one.

Whatever is configured by URL is used as it is; the rest is embedded. Nothing here is needed where Dagster is run by
other means: set the variables of `dagster_environment`, and start webserver, daemon and code server.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from lambda_pipeline.database import Database, parse_url
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.day import keep_changing
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.development import embedded, process_group
from lambda_pipeline.development.urls import server_urls
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError
from lambda_pipeline.settings import Settings, load_settings, project_root
from lambda_pipeline.views import load_views

Say = Callable[[str], None]

HOST = "127.0.0.1"
"""Dagster asks nobody who they are: it is for this machine alone."""

START_S = 180.0
CHANGES_PER_SECOND = 2.0
SENSOR_TIMEOUT_S = 300
"""A first poll after a long pause may take longer than the 60 s that Dagster gives a tick."""

_tell = partial(click.echo, err=True)


@dataclass(frozen=True, slots=True)
class Running:
    """What a `dev` started, kept in a file for `stop`.

    Attributes:
        url: of the UI.
        groups: leaders of the process groups.
    """

    url: str
    groups: tuple[int, ...]


def dev(
    *,
    port: int = 3000,
    detach: bool = False,
    changing: bool = False,
    patients: int = 1_000,
    settings: Settings | None = None,
    say: Say = _tell,
) -> int:
    """Start everything, and stay until Ctrl-C unless detached.

    The embedded servers go on running afterwards, and a second `dev` finds its data. An empty embedded source gets the
    synthetic population; its views are built before the UI opens. On a configured source, the capture sensor asks for
    the first generation as a run.

    Args:
        port: of the UI on 127.0.0.1.
        detach: return as soon as the UI answers; what Dagster prints goes to `<home>/dagster/dagster.log`.
        changing: keep the embedded source changing.
        patients: size of the population.
        settings: of the environment by default.
        say: gets progress, line by line.

    Returns:
        0 when it was stopped, or detached; 1 when Dagster ended by itself.

    Raises:
        ConfigurationError: no checkout, a port in use, changes asked for on a configured source, a bad URL.
        ServerUnavailableError: a server cannot be reached, or Dagster does not start.
        ViewDefinitionError, RefreshError: the views cannot be compiled or built.
    """
    settings = settings or load_settings()
    folder = dagster_folder(settings)
    if found := running(settings):
        say(f"Dagster runs already: {found.url} (lambda-pipeline stop ends it)")
        return 0
    _check_port(port)
    views = load_views(settings.view_definitions)
    urls = server_urls(settings)
    if changing and not urls.embedded_postgres:
        raise ConfigurationError("only the embedded source is kept changing", hint="unset HAPI_DB_URL")
    with Deployment(urls, views, settings) as deployment:
        with deployment.database.connect():
            pass
        if settings.dagster_pg_url is not None:
            with _database(settings.dagster_pg_url.get_secret_value()) as dagster, dagster.connect():
                pass
        deployment.overlay.read_status()
        # Only now, since it may start a server: nothing is started where a configured one cannot be reached.
        environment = dagster_environment(settings, urls)
        if urls.embedded_postgres:
            _prepare(deployment, patients, say)
    with _log(folder, wanted=detach) as log:
        return _run(settings, environment, port=port, log=log, changing=changing, say=say)


def stop(*, settings: Settings | None = None, say: Say = _tell) -> list[str]:
    """End Dagster with all its processes, then the embedded servers; fine when nothing runs. Data stays.

    Returns:
        The names of what ran.

    Raises:
        ServerUnavailableError: something does not end.
    """
    settings = settings or load_settings()
    stopped = []
    if _end(settings):
        stopped.append("Dagster")
    stopped += embedded.stop(settings.home)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return stopped


def running(settings: Settings) -> Running | None:
    """What a `dev` of this home started, if it still lives."""
    record = _read(settings)
    mark = _mark(settings)
    return record if record and any(process_group.alive(group, mark) for group in record.groups) else None


def dagster_folder(settings: Settings) -> Path:
    """Where Dagster's logs are kept."""
    return settings.home.expanduser().resolve() / "dagster"


def dagster_environment(settings: Settings, urls: ServerUrls | None = None) -> dict[str, str]:
    """The environment of Dagster's processes, and of every `dagster` command that is to reach the same instance.

    Args:
        settings: of the deployment.
        urls: the servers; looked for, or started, by default.

    Raises:
        ConfigurationError: not in a checkout, which holds dagster.yaml and workspace.yaml; a bad URL.
        ServerUnavailableError: an embedded server does not start.
    """
    root = project_root()
    if not (root / "dagster.yaml").exists():
        raise ConfigurationError(f"there is no dagster.yaml in {root}", hint="start it in a checkout of the project")
    urls = urls or server_urls(settings)
    if settings.dagster_pg_url is not None:
        dagster_url = settings.dagster_pg_url.get_secret_value()
    else:
        dagster_url = embedded.start(settings.home, redis=False).dagster_url
    # psycopg2 is the driver that Dagster's storage is written for; a bare postgresql:// would mean another one.
    storage = parse_url(dagster_url, name="DAGSTER_PG_URL").set(drivername="postgresql+psycopg2")
    folder = dagster_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(SENSOR_TIMEOUT_S),
        **os.environ,
        "DAGSTER_HOME": str(root),
        "DAGSTER_PG_URL": storage.render_as_string(hide_password=False),
        "HAPI_DB_URL": urls.hapi_db,
        "REDIS_URL": urls.redis,
        "LAMBDA_PIPELINE_HOME": str(settings.home.expanduser().resolve()),
        "LAMBDA_PIPELINE_DAGSTER_DIR": str(folder),
    }


def _prepare(deployment: Deployment, patients: int, say: Say) -> None:
    """Data and a first generation for the embedded source, so that there is something to see when the UI opens."""
    demo = DemoHapi(deployment.database)
    demo.install()
    with deployment.database.connect() as connection:
        empty = connection.execute("SELECT FROM hfj_resource LIMIT 1").fetchone() is None
    if empty:
        say(f"the source is empty: writing {patients} synthetic patients")
        stored = populate(demo, patients=patients)
        say(f"{stored:,} resources written")
    generation = deployment.serving.generation()
    published = {name: known.view.digest for name, known in generation.views.items()} if generation else {}
    if any(published.get(view.name) != view.digest for view in deployment.views):
        say("building the views")
        generation = deployment.refresh()
        say(f"generation {generation.number}: {', '.join(sorted(generation.views))}")


def _run(
    settings: Settings, environment: dict[str, str], *, port: int, log: IO[bytes] | None, changing: bool, say: Say
) -> int:
    root, url = project_root(), f"http://{HOST}:{port}"
    command = ["-m", "dagster", "dev", "-w", str(root / "workspace.yaml"), "-h", HOST, "-p", str(port)]
    with _interruptible():
        process = process_group.launch(command, cwd=root, env=environment, output=log)
        groups = [process.pid]
        _write(settings, Running(url, tuple(groups)))
        try:
            if changing:
                changer = ["-m", "lambda_pipeline.development.launcher"]
                groups.append(process_group.launch(changer, cwd=root, env=environment, output=log).pid)
                _write(settings, Running(url, tuple(groups)))
            _wait_for_ui(process, port, log)
            say(f"Dagster: {url}")
            if log is not None:
                return 0
            say("Ctrl-C stops it; the embedded servers go on until lambda-pipeline stop")
            process.wait()
        except KeyboardInterrupt:
            say("stopping Dagster")
        except BaseException:
            _end(settings)
            raise
        # A record that is gone was removed by `stop`, from another terminal.
        asked = process.poll() is None or _read(settings) is None
        _end(settings)
    return 0 if asked else 1


def _wait_for_ui(process: subprocess.Popen[bytes], port: int, log: IO[bytes] | None) -> None:
    where = f"see {log.name}" if log is not None else "its messages are above"
    deadline = time.monotonic() + START_S
    while not _answers(port):
        if process.poll() is not None:
            raise ServerUnavailableError(f"Dagster ended with status {process.returncode}", hint=where)
        if time.monotonic() > deadline:
            raise ServerUnavailableError(f"Dagster's UI does not answer after {START_S:.0f} s", hint=where)
        time.sleep(0.3)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be used: {error.strerror}", hint="choose another one"
            ) from None


def _end(settings: Settings) -> bool:
    """End what the record names; whether anything of it still ran."""
    record = _read(settings)
    if record is None:
        return False
    ended = [process_group.end(group, _mark(settings)) for group in reversed(record.groups)]
    _record(settings).unlink(missing_ok=True)
    return any(ended)


def _mark(settings: Settings) -> str:
    return f"LAMBDA_PIPELINE_DAGSTER_DIR={dagster_folder(settings)}"


def _record(settings: Settings) -> Path:
    return dagster_folder(settings) / "dev.json"


def _read(settings: Settings) -> Running | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        held: dict[str, Any] = json.loads(_record(settings).read_text())
        return Running(str(held["url"]), tuple(map(int, held["groups"])))
    return None


def _write(settings: Settings, record: Running) -> None:
    file = _record(settings)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(record)))
    new.replace(file)


@contextmanager
def _log(folder: Path, *, wanted: bool) -> Iterator[IO[bytes] | None]:
    if not wanted:
        yield None
        return
    with (folder / "dagster.log").open("wb") as file:
        yield file


@contextmanager
def _database(url: str) -> Iterator[Database]:
    database = Database(url, name="DAGSTER_PG_URL")
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Signals raise KeyboardInterrupt: a shell's `&` leaves SIGINT ignored, and children would inherit that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _change_without_end() -> None:
    """The process that keeps the source changing until its group is ended."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Deployment(server_urls(load_settings()), (), load_settings()) as deployment:
        keep_changing(DemoHapi(deployment.database), time.time_ns(), ended, CHANGES_PER_SECOND)


if __name__ == "__main__":
    _change_without_end()
