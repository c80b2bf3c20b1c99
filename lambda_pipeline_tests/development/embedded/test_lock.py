"""One holder at a time, also over the removal of the lock's own file."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lambda_pipeline.development.embedded.lock import exclusive
from lambda_pipeline.errors import ServerUnavailableError


def test_a_held_lock_is_waited_for_and_then_reported(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with exclusive(file), pytest.raises(ServerUnavailableError, match="another process has held"):
        exclusive(file, timeout_s=0.1).__enter__()
    with exclusive(file, timeout_s=0.1):
        pass


def test_who_waited_for_a_removed_file_does_not_share_with_who_made_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "home" / "lock"
    inside = 0
    most = 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(100):
            with exclusive(file):
                with counting:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.001)
                with counting:
                    inside -= 1
                file.unlink()
                with suppress(OSError):
                    file.parent.rmdir()

    with ThreadPoolExecutor(4) as workers:
        for done in [workers.submit(work) for _ in range(4)]:
            done.result()
    assert most == 1
