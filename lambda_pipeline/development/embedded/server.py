"""Start and stop of a server, as far as they are the same for PostgreSQL and Valkey.

Whether a server runs is decided by its answer and its live processes, never by a pid file.
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
    """The state of a server, as its socket answers."""

    READY = "ready"
    WAIT = "starting up or shutting down"
    NOTHING = "not listening"


class Server(ABC):
    """One embedded server. Call its methods under the home's lock, except `probe`."""

    name: str
    stop_signal: signal.Signals

    @property
    @abstractmethod
    def log_file(self) -> Path:
        """File of the server's messages."""

    @abstractmethod
    def probe(self) -> Answer:
        """Ask the socket.

        Raises:
            ServerUnavailableError: the server listens but refuses the connection; it must not be started again.
        """

    @abstractmethod
    def leaders(self) -> list[Process]:
        """Live main processes on the files of this home: one or none."""

    @abstractmethod
    def attached(self) -> list[Process]:
        """All live processes on the files of this home, with children whose main process was killed."""

    @abstractmethod
    def has_files(self) -> bool:
        """Whether the server's data files exist."""

    @abstractmethod
    def launch(self) -> None:
        """Start it. No process uses its files; stale pid files and sockets may exist."""

    @abstractmethod
    def remove(self) -> None:
        """Remove its files and its socket directory while it does not run."""

    def ensure(self) -> None:
        """Attach to the server, wait for it, or start it.

        Raises:
            ServerUnavailableError: it does not start (with the end of its log), or does not answer.
            ConfigurationError: it cannot run here.
        """
        if self.has_files() and self._settle(SOCKET_GRACE_S) is Answer.READY:
            return
        # A server that still runs has lost its socket or its files, such as by a cleanup of /tmp. Two servers on the
        # same files would destroy them, so the old one is stopped first.
        self.stop()
        since = log.size(self.log_file)
        self.launch()
        if self._settle(LAUNCH_GRACE_S) is not Answer.READY:
            raise self.failed(since)

    def stop(self) -> bool:
        """Stop it cleanly and wait; return whether it was running.

        Raises:
            ServerUnavailableError: processes on its files do not end.
        """
        leaders = self.leaders()
        send_signal(leaders, self.stop_signal)
        if not wait_until(lambda: not self.attached(), STOP_S if leaders else ORPHANS_S):
            pids = ", ".join(str(process.pid) for process in self.attached())
            raise ServerUnavailableError(
                f"{self.name}: processes {pids} do not end",
                hint=f"they use its files: end them, then try again; log: {self.log_file}",
            )
        return bool(leaders)

    def failed(self, since: int, detail: str = "") -> ServerUnavailableError:
        """The error of a failed start.

        Args:
            since: position in the log before the start.
            detail: output of the starting program.
        """
        output = "\n".join(part for part in (detail.strip(), log.tail(self.log_file, since=since)) if part)
        return ServerUnavailableError(f"embedded {self.name} did not start: {output}", hint=f"log: {self.log_file}")

    def _settle(self, grace_s: float) -> Answer:
        patience = time.monotonic() + grace_s
        deadline = time.monotonic() + RECOVERY_S
        while (answer := self.probe()) is not Answer.READY:
            now = time.monotonic()
            if answer is Answer.NOTHING and (now > patience or not self.leaders()):
                return answer
            if now > deadline:
                raise ServerUnavailableError(
                    f"embedded {self.name} has been {answer.value} for {RECOVERY_S:.0f} s",
                    hint=f"wait, then try again; log: {self.log_file}",
                )
            time.sleep(PAUSE_S)
        return answer
