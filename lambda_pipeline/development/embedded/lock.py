"""One start, stop or clean at a time per home.

Not the package filelock: `clean` removes the lock's file while it holds the lock, and a process that waited for that
file must then wait for the new one.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lambda_pipeline.errors import ServerUnavailableError

PAUSE_S = 0.02


@contextmanager
def exclusive(file: Path, *, timeout_s: float = 240.0) -> Iterator[None]:
    """Hold the lock on a file, which is made when missing (its folder too).

    The kernel releases it when the holder ends, also when it is killed.

    Args:
        file: on a local file system; locks on network file systems are not reliable.
        timeout_s: how long to wait for another holder; longer than a crash recovery.

    Raises:
        ServerUnavailableError: another process holds it for longer.
    """
    deadline = time.monotonic() + timeout_s
    while (descriptor := _try(file)) is None:
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"another process has held {file} for {timeout_s:.0f} s",
                hint=f"it starts or stops the embedded servers; fuser {file} shows its process id",
            )
        time.sleep(PAUSE_S)
    try:
        yield
    finally:
        os.close(descriptor)


def _try(file: Path) -> int | None:
    try:
        # A `clean` may remove the folder at this moment: mkdir then finds it, and its check does not.
        with suppress(FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # `clean` removes the file while it holds it: a lock on the removed file would exclude no other process.
        if os.path.samestat(os.fstat(descriptor), file.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
