"""The embedded Valkey: a Redis that keeps its data over restarts."""

import shutil
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lambda_pipeline.development.embedded import log
from lambda_pipeline.development.embedded.account import caller, private_directory
from lambda_pipeline.development.embedded.binaries import valkey_server
from lambda_pipeline.development.embedded.home import Home
from lambda_pipeline.development.embedded.server import Answer, Server
from lambda_pipeline.development.processes import Process, find_processes
from lambda_pipeline.errors import ServerUnavailableError

ANSWER_TIMEOUT_S = 5


class Valkey(Server):
    """Valkey of one home; runs as the user who starts it, also as root.

    Args:
        home: folder of its files.
    """

    name = "Valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Home) -> None:
        self.folder = home.path / "valkey"
        self.sockets = home.sockets("valkey")
        self.socket = self.sockets / "valkey.sock"

    @property
    def log_file(self) -> Path:
        """File of the server's messages."""
        return self.folder / "valkey.log"

    def url(self) -> str:
        """URL of its database 0, over the socket."""
        return f"unix://{self.socket}?db=0"

    def probe(self) -> Answer:
        """Send a PING to the socket."""
        client = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=ANSWER_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            client.ping()
        except redis.BusyLoadingError:
            return Answer.WAIT
        except redis.TimeoutError:
            raise ServerUnavailableError(
                f"embedded {self.name} does not answer within {ANSWER_TIMEOUT_S} s",
                hint=f"a script may keep it busy; log: {self.log_file}",
            ) from None
        except redis.ConnectionError as error:
            if "max number of clients" in str(error):
                raise ServerUnavailableError(f"embedded {self.name}: {error}") from None
            return Answer.NOTHING
        except redis.ResponseError as error:
            raise ServerUnavailableError(f"embedded {self.name}: {error}") from None
        finally:
            client.close()
        return Answer.READY

    def leaders(self) -> list[Process]:
        """The server with this home's socket, in its arguments or its process title."""
        return [
            process
            for process in find_processes("valkey-server")
            if process.directory == self.folder or str(self.socket) in process.command
        ]

    def attached(self) -> list[Process]:
        """The server, and its child process that rewrites the append-only file."""
        return self.leaders()

    def has_files(self) -> bool:
        """Whether its append-only file exists."""
        return (self.folder / "appendonlydir").exists()

    def launch(self) -> None:
        """Start it.

        Raises:
            ConfigurationError: the binary is missing, or the folder belongs to another user.
            ServerUnavailableError: it does not start, with the end of its log.
        """
        account = caller()
        private_directory(self.folder, account)
        private_directory(self.sockets, account)
        self.socket.unlink(missing_ok=True)
        log.rotate(self.log_file)
        since = log.size(self.log_file)
        options: dict[str, str | Path] = {
            "daemonize": "yes",
            "port": "0",
            "unixsocket": self.socket,
            "unixsocketperm": "700",
            "dir": self.folder,
            "pidfile": self.folder / "valkey.pid",
            "logfile": self.log_file,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        started = account.run(
            [valkey_server(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        )
        if started.returncode != 0:
            raise self.failed(since, started.stdout)

    def remove(self) -> None:
        """Remove data, log and socket directory."""
        for directory in (self.folder, self.sockets):
            if directory.exists():
                shutil.rmtree(directory)
