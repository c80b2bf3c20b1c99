"""The operating-system account that a server runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lambda_pipeline.errors import ConfigurationError

UNPRIVILEGED = ("postgres", "nobody")
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "HOME": "/", "PATH": "/usr/local/bin:/usr/bin:/bin"}


@dataclass(frozen=True, slots=True)
class Account:
    """A user.

    Attributes:
        name: of the account.
        uid: its user id.
        gid: its group id.
        other: whether it is not the caller; the caller is root then.
    """

    name: str
    uid: int
    gid: int
    other: bool

    def run(
        self, command: Sequence[str | Path], *, text: str = "", timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, from `/`, with a minimal environment.

        Args:
            command: program and arguments.
            text: its standard input.
            timeout_s: seconds after which it is killed.

        Returns:
            Exit status, and output and errors together in `stdout`.

        Raises:
            ConfigurationError: root may not switch to this account (a container without that right).
            OSError: the program cannot be run.
            subprocess.TimeoutExpired: it took longer.
        """
        arguments = [str(part) for part in command]
        # Files, not pipes: a daemon that the program starts would keep a pipe open.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
            given.write(text.encode())
            given.seek(0)
            try:
                ended = subprocess.run(  # noqa: S603 (programs of ours, no shell)
                    arguments,
                    cwd="/",
                    env=ENVIRONMENT,
                    check=False,
                    timeout=timeout_s,
                    stdin=given,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    user=self.uid if self.other else None,
                    group=self.gid if self.other else None,
                    extra_groups=[] if self.other else None,
                )
            except PermissionError as error:
                if not self.other or error.filename == arguments[0]:
                    raise
                raise ConfigurationError(
                    f"root may not run programs as {self.name} here", hint="run as an ordinary user, or set HAPI_DB_URL"
                ) from None
            output.seek(0)
            return subprocess.CompletedProcess(arguments, ended.returncode, output.read().decode("utf-8", "replace"))

    def reaches(self, directory: Path) -> bool:
        """Whether the account can enter the directory; tried, because modes do not show every restriction."""
        return self.run(["/bin/sh", "-c", 'cd "$1"', "sh", directory]).returncode == 0


def server_account() -> Account:
    """The caller; for root `postgres` or, where that does not exist, `nobody`, which other services share.

    Raises:
        ConfigurationError: the caller is root and neither account exists.
    """
    uid = os.geteuid()
    if uid != 0:
        return caller()
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, other=True)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and there is no account {' or '.join(UNPRIVILEGED)}",
        hint="add one, run as an ordinary user, or set HAPI_DB_URL",
    )


def caller() -> Account:
    """The account of this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, os.getegid(), other=False)


def private_directory(path: Path, account: Account) -> Path:
    """A directory that only this account (and root) can enter; created when missing, in a folder that exists.

    Raises:
        ConfigurationError: the path is not a directory, belongs to another user, or others can enter it.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and account.other and found.st_uid == os.geteuid():
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise ConfigurationError(
            f"{path} is not a directory of user {account.name}",
            hint="embedded servers belong to the user who started them first: be that user, use another "
            "LAMBDA_PIPELINE_HOME, or set HAPI_DB_URL and REDIS_URL",
        )
    if found.st_mode & 0o077:
        raise ConfigurationError(f"other users can enter {path}", hint=f"chmod 700 {path}")
    return path
