"""The folders and sockets of the embedded servers of one home."""

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
"""Folder of root's PostgreSQL when its account cannot enter the home."""

SOCKETS = Path("/tmp")  # noqa: S108 (a private directory below it, checked)
"""Folder of the sockets' directories: short, because a socket's path may have about 100 bytes, and the same for every
process of a home, as TMPDIR and XDG_RUNTIME_DIR are not."""

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
        """Short name of this home in folders that homes share."""
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
        """The folder of PostgreSQL's files, as chosen by the first start; before that, the home."""
        return self.system_state if os.geteuid() == 0 and self.system_state.exists() else self.path

    def choose_state(self, account: Account) -> Path:
        """Choose the folder of PostgreSQL's files: the home, unless the account cannot enter it.

        The modes of folders above the home are never changed.

        Raises:
            ConfigurationError: the home contains a cluster, and the account cannot enter it any more.
        """
        if self.state() == self.system_state or not account.other or account.reaches(self.path):
            return self.state()
        if (self.path / "postgres").exists():
            raise ConfigurationError(
                f"user {account.name} cannot enter {self.path} any more, which contains its PostgreSQL data",
                hint="restore the right to enter (x) of the folders above it, or move the home",
            )
        for directory in (SYSTEM_STATE, self.system_state):
            _open_directory(directory)
        return self.system_state

    def mark(self) -> None:
        """Write a marker that `clean` may remove the whole folder, if it contains no other files."""
        if {entry.name for entry in self.path.iterdir()} <= OURS:
            (self.path / MARKER).write_text(
                "The embedded servers of lambda_pipeline live here; clean removes it all.\n"
            )

    def remove(self) -> None:
        """Remove the folder, under the lock; without the marker, only the files of the servers."""
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
        # Last: without its file the lock is free, and the next start may begin at once.
        self.lock.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def open_home(path: Path) -> Home:
    """The home at a path, which need not exist.

    Raises:
        ConfigurationError: its name contains a character that PostgreSQL's programs cannot quote.
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
            f"{directory} is not a directory that only root can write",
            hint="remove it, or use another LAMBDA_PIPELINE_HOME",
        )
