"""Where the embedded servers of one home keep their files and sockets."""

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lambda_pipeline.development.embedded.account import Account
from lambda_pipeline.errors import ConfigurationError

SYSTEM_STATE = Path("/var/lib/lambda_pipeline")
"""Where root's PostgreSQL lives when its account cannot enter the home."""

SOCKETS = Path("/tmp")  # noqa: S108 (a private directory below it, checked)
"""Below which the sockets lie: short, since a socket's path holds about 100 bytes, and the same for every process of a
home, which neither TMPDIR nor XDG_RUNTIME_DIR is."""

LOCK = "embedded.lock"
MARKER = "made-by-lambda-pipeline.txt"
OURS = {LOCK, MARKER, "results", "dagster"}
UNQUOTABLE = set("\"'$`\\\n")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one deployment's embedded servers.

    Attributes:
        path: absolute, without symbolic links: all spellings of one folder share its servers.
    """

    path: Path

    @property
    def key(self) -> str:
        """Short name of this home in places that other homes share."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def lock(self) -> Path:
        """The file to hold while starting, stopping or cleaning."""
        return self.path / LOCK

    @property
    def system_state(self) -> Path:
        """The folder outside the home, used when root's PostgreSQL cannot live in it."""
        return SYSTEM_STATE / self.key

    def sockets(self, server: str) -> Path:
        """The directory of a server's socket."""
        return SOCKETS / f"lambda_pipeline-{self.key}-{server}"

    def state(self) -> Path:
        """The folder PostgreSQL lives below, as chosen by the first start; the home before that."""
        return self.system_state if os.geteuid() == 0 and self.system_state.exists() else self.path

    def choose_state(self, account: Account) -> Path:
        """The folder PostgreSQL is to live below: the home, unless the account cannot enter it.

        Nothing that is not ours gets another mode to change that.

        Raises:
            ConfigurationError: there is a cluster in the home, which the account cannot enter any more.
        """
        if self.state() == self.system_state or not account.other or account.reaches(self.path):
            return self.state()
        if (self.path / "postgres").exists():
            raise ConfigurationError(
                f"user {account.name} cannot enter {self.path} any more, where its PostgreSQL data lies",
                hint="give the folders above it back the right to enter (x), or move the home away",
            )
        for directory in (SYSTEM_STATE, self.system_state):
            _open_directory(directory)
        return self.system_state

    def mark(self) -> None:
        """Note that the whole folder is ours to remove, if nobody else has put anything there."""
        if {entry.name for entry in self.path.iterdir()} <= OURS:
            (self.path / MARKER).write_text(
                "The embedded servers of lambda_pipeline live here; clean removes it all.\n"
            )

    def remove(self) -> None:
        """Remove the folder, under the lock; in one that held other things before us, only what is ours."""
        if self.state() == self.system_state:
            shutil.rmtree(self.system_state)
            with suppress(OSError):
                SYSTEM_STATE.rmdir()
        if (self.path / MARKER).exists():
            for entry in self.path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry != self.lock:
                    entry.unlink()
        # Last: without its file the lock is free, and the next start may be under way already.
        self.lock.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def open_home(path: Path) -> Home:
    """The home at a path, which need not exist.

    Raises:
        ConfigurationError: its name has a character that PostgreSQL's own programs cannot quote.
    """
    home = Home(path.expanduser().resolve())
    if UNQUOTABLE & set(str(home.path)):
        raise ConfigurationError(
            f"LAMBDA_PIPELINE_HOME {home.path!s} has quotes, a dollar sign or a backslash in its name",
            hint="choose another folder",
        )
    return home


def _open_directory(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(0o755)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigurationError(
            f"{directory} is no directory that only root can write",
            hint="remove it, or use another LAMBDA_PIPELINE_HOME",
        )
