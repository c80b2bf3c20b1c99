"""Which server processes live: a pid file proves nothing, since numbers are reused and zombies keep theirs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """A live process.

    Attributes:
        pid: its number.
        command: its command line, words joined by spaces.
        directory: its working directory; `None` where the system does not say.
    """

    pid: int
    command: str
    directory: Path | None


def processes_of(program: str) -> list[Process]:
    """Live processes of a program, zombies left out; those of other users only for root.

    Args:
        program: name of the executable file.
    """
    return _from_proc(program) if (PROC / "self" / "exe").exists() else _from_ps(program)


def end(processes: Sequence[Process], number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is fine."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_until(happened: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it happened within the time."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True


def _from_proc(program: str) -> list[Process]:
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if _link(entry / "exe").name != program:
                continue
            command = (entry / "cmdline").read_bytes().decode("utf-8", "surrogateescape")
            directory = _link(entry / "cwd")
        except OSError:  # gone, another user's, or a zombie: those have no executable any more
            continue
        found.append(Process(int(entry.name), command.replace("\0", " ").strip(), directory))
    return found


def _link(link: Path) -> Path:
    return Path(str(link.readlink()).removesuffix(" (deleted)"))


def _from_ps(program: str) -> list[Process]:
    listing = subprocess.run(["/bin/ps", "-axww", "-o", "pid=,stat=,command="], capture_output=True, check=True)
    found = []
    for line in listing.stdout.decode("utf-8", "surrogateescape").splitlines():
        pid, state, command = line.split(None, 2) if len(line.split(None, 2)) == 3 else ("", "Z", "")
        if not state.startswith("Z") and f"/{program} " in f"{command} ":
            found.append(Process(int(pid), command.strip(), None))
    return found
