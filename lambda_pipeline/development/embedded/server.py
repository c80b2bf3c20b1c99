"""What starting and stopping have in common for both servers.

Whether a server runs is decided by asking it, and by its live processes: never by a pid file.
"""

import signal
import time
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path

from lambda_pipeline.development.embedded import log
from lambda_pipeline.development.processes import PAUSE_S, Process, send_signal, wait_until
from lambda_pipeline.errors import ServerUnavailableError

RECOVERY_S = 120.0
STOP_S = 100.0
ORPHANS_S = 30.0
SOCKET_GRACE_S = 2.0
LAUNCH_GRACE_S = 30.0


class Answer(Enum):
    """What came back from the socket."""

    READY = "ready"
    WAIT = "starting up or shutting down"
    NOTHING = "nobody listens"


class Server(ABC):
    """One embedded server; every method is to be called under the home's lock, but for `probe`."""

    name: str
    stop_signal: signal.Signals

    @property
    @abstractmethod
    def log_file(self) -> Path:
        """Where the server writes."""

    @abstractmethod
    def probe(self) -> Answer:
        """Ask the socket.

        Raises:
            ServerUnavailableError: somebody listens but does not let us in; it is not to be started again.
        """

    @abstractmethod
    def leaders(self) -> list[Process]:
        """Live main processes on the files of this home: one, or none."""

    @abstractmethod
    def attached(self) -> list[Process]:
        """All live processes on the files of this home, children whose leader was killed included."""

    @abstractmethod
    def has_files(self) -> bool:
        """Whether the files the server lives on are there."""

    @abstractmethod
    def launch(self) -> None:
        """Start it; nothing runs on its files, and stale ones may lie about."""

    @abstractmethod
    def remove(self) -> None:
        """Remove its files and its socket directory; it does not run."""

    def ensure(self) -> None:
        """Have it running: attach, wait, or start.

        Raises:
            ServerUnavailableError: it does not start, with the end of its log; or does not answer.
            ConfigurationError: it cannot run here.
        """
        if self.has_files() and self._settle(SOCKET_GRACE_S) is Answer.READY:
            return
        # What still runs has lost its socket or its files to somebody who cleaned up. Two writers on one set of files
        # destroy it, so it ends first.
        self.stop()
        since = log.size(self.log_file)
        self.launch()
        if self._settle(LAUNCH_GRACE_S) is not Answer.READY:
            raise self.failed(since)

    def stop(self) -> bool:
        """End it cleanly if it runs, and wait; whether it did.

        Raises:
            ServerUnavailableError: processes stay on its files.
        """
        leaders = self.leaders()
        send_signal(leaders, self.stop_signal)
        if not wait_until(lambda: not self.attached(), STOP_S if leaders else ORPHANS_S):
            pids = ", ".join(str(process.pid) for process in self.attached())
            raise ServerUnavailableError(
                f"{self.name}: processes {pids} do not end",
                hint=f"they hold its files: end them, then try again; {self.log_file}",
            )
        return bool(leaders)

    def failed(self, since: int, detail: str = "") -> ServerUnavailableError:
        """The error of a failed start.

        Args:
            since: position in the log before the start.
            detail: what the starting program said.
        """
        said = "\n".join(part for part in (detail.strip(), log.tail(self.log_file, since=since)) if part)
        return ServerUnavailableError(f"embedded {self.name} did not start: {said}", hint=f"log: {self.log_file}")

    def _settle(self, grace_s: float) -> Answer:
        patience = time.monotonic() + grace_s
        deadline = time.monotonic() + RECOVERY_S
        while (answer := self.probe()) is not Answer.READY:
            now = time.monotonic()
            if answer is Answer.NOTHING and (now > patience or not self.leaders()):
                return answer
            if now > deadline:
                raise ServerUnavailableError(
                    f"embedded {self.name} is {answer.value} for {RECOVERY_S:.0f} s",
                    hint=f"wait, then try again; log: {self.log_file}",
                )
            time.sleep(PAUSE_S)
        return answer
