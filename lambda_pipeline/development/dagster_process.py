"""Dagster as a process group of this machine: its environment, its start, and the record that another command stops.

Which servers and data it works on does not belong here: see `dev.py`. The definitions that it loads are in
`orchestration/`.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from lambda_pipeline.api import server_urls
from lambda_pipeline.database import parse_url
from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.development import embedded, processes
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError
from lambda_pipeline.settings import Settings, project_root

Say = Callable[[str], None]

HOST = "127.0.0.1"
"""Dagster has no login: it is reachable from this machine only."""

START_S = 180.0
SENSOR_TIMEOUT_S = 300
"""A first poll after a long pause may take longer than the 60 s that Dagster gives a tick."""


DEV_IS_SUPERSEDED = "ignore:Function `dev_command` is superseded:FutureWarning"
"""Dagster warns at every start that another command replaces `dagster dev`; that one does not read workspace.yaml."""


@dataclass(frozen=True, slots=True)
class RunningDagster:
    """The record of a `dev`, kept in a file for `stop`.

    Attributes:
        url: of the UI.
        groups: process ids of the leaders of its process groups.
    """

    url: str
    groups: tuple[int, ...]


def dagster_folder(settings: Settings) -> Path:
    """The folder of Dagster's logs."""
    return settings.home.expanduser().resolve() / "dagster"


def dagster_environment(settings: Settings, urls: ServerUrls | None = None) -> dict[str, str]:
    """The environment of Dagster's processes, and of every `dagster` command for the same instance.

    Args:
        settings: of the deployment.
        urls: the servers; by default those of the settings, started where they are embedded.

    Raises:
        ConfigurationError: not in a checkout (dagster.yaml and workspace.yaml are missing), or a URL cannot be used.
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
    # Dagster's storage is written for psycopg2; a bare postgresql:// may stand for another driver.
    storage = parse_url(dagster_url, name="DAGSTER_PG_URL").set(drivername="postgresql+psycopg2")
    embedded.claim(settings.home)
    folder = dagster_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(SENSOR_TIMEOUT_S),
        "PYTHONWARNINGS": DEV_IS_SUPERSEDED,
        **os.environ,
        "DAGSTER_HOME": str(root),
        "DAGSTER_PG_URL": storage.render_as_string(hide_password=False),
        "HAPI_DB_URL": urls.hapi_db,
        "REDIS_URL": urls.redis,
        "LAMBDA_PIPELINE_HOME": str(settings.home.expanduser().resolve()),
        "LAMBDA_PIPELINE_DAGSTER_DIR": str(folder),
    }


def find_running(settings: Settings) -> RunningDagster | None:
    """The Dagster that a `dev` of this home started, if any of its processes is still alive."""
    record, variable = _read_record(settings), _group_variable(settings)
    if record and any(processes.group_is_alive(group, variable) for group in record.groups):
        return record
    return None


def check_port(port: int) -> None:
    """Raise ConfigurationError when the UI cannot listen on this port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(f"port {port} cannot be used: {error.strerror}", hint="choose another") from None


def run(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    port: int,
    detach: bool,
    companions: Sequence[Sequence[str]],
    say: Say,
) -> int:
    """Start Dagster with its UI, and stay until Ctrl-C or `stop`, unless detached.

    Args:
        settings: of the deployment.
        environment: as of `dagster_environment`.
        port: of the UI.
        detach: return as soon as the UI answers; the output goes to `dagster.log` in Dagster's folder.
        companions: Python's arguments of further programs that run and stop together with Dagster.
        say: receives progress, line by line.

    Returns:
        0 after Ctrl-C or `stop`, or when detached; 1 when Dagster ended without either.

    Raises:
        ServerUnavailableError: Dagster does not start.
    """
    root, url = project_root(), f"http://{HOST}:{port}"
    dagster = ("-m", "dagster", "dev", "-w", str(root / "workspace.yaml"), "-h", HOST, "-p", str(port))
    with _open_log(settings, detach=detach) as log, _signals_as_interrupts():
        process = processes.start_group(dagster, cwd=root, env=environment, output=log)
        groups = [process.pid]
        try:
            _write_record(settings, RunningDagster(url, tuple(groups)))
            for command in companions:
                groups.append(processes.start_group(command, cwd=root, env=environment, output=log).pid)
                _write_record(settings, RunningDagster(url, tuple(groups)))
            _wait_for_ui(process, port, log)
            say(f"Dagster: {url}")
            if detach:
                return 0
            embedded_too = (
                "" if _all_configured(settings) else "; the embedded servers go on until lambda-pipeline stop"
            )
            say(f"Ctrl-C stops it{embedded_too}")
            process.wait()
        except KeyboardInterrupt:
            say("stopping Dagster")
        except BaseException:
            stop(settings)
            raise
        # Where the record is gone, `stop` removed it, from another terminal.
        asked_to_stop = process.poll() is None or _read_record(settings) is None
        stop(settings)
    return 0 if asked_to_stop else 1


def stop(settings: Settings) -> bool:
    """Stop all processes of the recorded Dagster; return whether any was running.

    Raises:
        ServerUnavailableError: a process does not end.
    """
    record = _read_record(settings)
    if record is None:
        return False
    stopped = [processes.stop_group(group, _group_variable(settings)) for group in reversed(record.groups)]
    _record_file(settings).unlink(missing_ok=True)
    return any(stopped)


def _all_configured(settings: Settings) -> bool:
    return None not in (settings.hapi_db_url, settings.redis_url, settings.dagster_pg_url)


def _group_variable(settings: Settings) -> str:
    return f"LAMBDA_PIPELINE_DAGSTER_DIR={dagster_folder(settings)}"


def _record_file(settings: Settings) -> Path:
    return dagster_folder(settings) / "dev.json"


def _read_record(settings: Settings) -> RunningDagster | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        record: dict[str, Any] = json.loads(_record_file(settings).read_text())
        return RunningDagster(str(record["url"]), tuple(map(int, record["groups"])))
    return None


def _write_record(settings: Settings, record: RunningDagster) -> None:
    file = _record_file(settings)
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(record)))
    unfinished.replace(file)


def _wait_for_ui(process: subprocess.Popen[bytes], port: int, log: IO[bytes] | None) -> None:
    hint = f"see {log.name}" if log is not None else "its messages are above"
    deadline = time.monotonic() + START_S
    while not _ui_answers(port):
        if process.poll() is not None:
            raise ServerUnavailableError(f"Dagster ended with status {process.returncode}", hint=hint)
        if time.monotonic() > deadline:
            raise ServerUnavailableError(f"Dagster's UI does not answer after {START_S:.0f} s", hint=hint)
        time.sleep(0.3)


def _ui_answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _open_log(settings: Settings, *, detach: bool) -> Iterator[IO[bytes] | None]:
    if not detach:
        yield None
        return
    with (dagster_folder(settings) / "dagster.log").open("wb") as file:
        yield file


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for signals: a shell's `&` leaves SIGINT ignored, which child processes would inherit."""
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
