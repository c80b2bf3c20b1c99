"""Processes that are started with all their descendants, found again by another command, and ended without a rest.

A number in a file proves nothing: it may be of a stranger by now. Ours carry a variable in their environment, which all
descendants inherit; where the system does not show it, their command line has to do.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lambda_pipeline.errors import ServerUnavailableError

TERM_S = 20.0
"""How long processes get to end by themselves; Dagster takes some seconds."""

KILL_S = 10.0
_PROC = Path("/proc")
_PAUSE_S = 0.1


def launch(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a session, so that closing the terminal does not reach it.

    Args:
        command: Python's arguments.
        cwd: its working directory.
        env: its whole environment.
        output: file for what it prints; None for the terminal.
    """
    return subprocess.Popen(  # noqa: S603 (the commands are the callers' own)
        [sys.executable, *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )


def alive(group: int, mark: str) -> bool:
    """Whether the group has live processes of ours.

    Args:
        group: process id of its leader, which may be gone.
        mark: `NAME=value` in the environment of ours.
    """
    return any(_is_ours(pid, mark) for pid in _members(group))


def end(group: int, mark: str) -> bool:
    """End all processes of a group of ours: asked first, killed when they do not listen.

    Returns:
        Whether there were any; a group of strangers is left alone.

    Raises:
        ServerUnavailableError: one cannot be ended.
    """
    if not alive(group, mark):
        return False
    for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not _members(group):
                return True
            time.sleep(_PAUSE_S)
    raise ServerUnavailableError(f"processes {', '.join(map(str, _members(group)))} do not end")


def _members(group: int) -> list[int]:
    """Live processes of a group; zombies have ended, whoever has still to be told."""
    if not (_PROC / "self" / "stat").exists():
        return [pid for pid, of, state in _from_ps() if of == group and not state.startswith("Z")]
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError):
                # The name in parentheses may hold blanks and parentheses itself.
                state, _, of = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
                if int(of) == group and state not in {"Z", "X"}:
                    found.append(int(entry.name))
    return found


def _from_ps() -> list[tuple[int, int, str]]:
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,pgid=,stat="], capture_output=True, check=True, text=True)
    return [(int(pid), int(of), state) for pid, of, state in map(str.split, listing.stdout.splitlines())]


def _is_ours(pid: int, mark: str) -> bool:
    with suppress(OSError):
        if (_PROC / "self" / "environ").exists():
            return mark.encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        shown = subprocess.run(  # noqa: S603 (a number is all that varies)
            ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False, text=True
        )
        return "dagster" in shown.stdout or "lambda_pipeline" in shown.stdout
    return False
