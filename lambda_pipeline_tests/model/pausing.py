"""Work that can be stopped between any two calls to a server, and gone on with later.

Every call of psycopg and redis-py passes a point before and a point after it. Work that runs as a `Task` counts them,
stops at the one it was told, and waits: whatever the test does in between happens exactly there. Only one thread runs
at any moment, so that a history always happens in the same order.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import redis
import redis.client

STUCK_S = 60.0


class StuckError(Exception):
    """A task waits for something that only another task or the test could give it."""


class Task(threading.Thread):
    """One call of the product in a thread of its own.

    Args:
        kind: what it is, for people.
        action: the call.
        pause_at: number of the point to stop at, from 1; a task with fewer points just ends.
    """

    def __init__(self, kind: str, action: Callable[[], Any], pause_at: int) -> None:
        super().__init__(daemon=True, name=kind)
        self.kind = kind
        self.points = 0
        self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.backends: set[int] = set()
        self.at_redis = False
        self._action = action
        self._pause_at = pause_at
        self._failure: Exception | None = None
        self._paused = threading.Semaphore(0)
        self._resumed = threading.Semaphore(0)

    def begin(self) -> None:
        """Run to the point, or to the end."""
        self.start()
        self._wait()

    def resume(self, pause_after: int = 0, failure: Exception | None = None) -> None:
        """Go on, to the end or for so many points; with a failure, the call at this point raises it."""
        self._pause_at = self.points + pause_after if pause_after else 0
        self._failure = failure
        self._resumed.release()
        self._wait()

    def run(self) -> None:
        _local.observer = self.point
        try:
            self.result = self._action()
        except BaseException as error:  # noqa: BLE001 (handed to whoever began it)
            self.error = error
        finally:
            _local.observer = None
            self.ended = True
            self._paused.release()

    def point(self, *, at_redis: bool, backend: int | None) -> None:
        self.points += 1
        self.at_redis = at_redis
        if backend is not None:
            self.backends.add(backend)
        if self.points == self._pause_at:
            self._paused.release()
            self._resumed.acquire()
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure

    def _wait(self) -> None:
        if not self._paused.acquire(timeout=STUCK_S):
            raise StuckError(f"{self.kind} at point {self.points}")


class Killer:
    """Ends this process at a point, as `kill -9` would: no handler runs, nothing is flushed or rolled back."""

    def __init__(self, at: int) -> None:
        self.left = at

    def point(self, **_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def observed(observer: Callable[..., None]) -> Iterator[None]:
    """Have every call that this thread makes to a server pass the observer."""
    _local.observer = observer
    try:
        yield
    finally:
        _local.observer = None


_local = threading.local()
_wait = psycopg.Connection.wait
_execute_command = redis.Redis.execute_command
_execute_pipeline = redis.client.Pipeline.execute


def _point(*, at_redis: bool, backend: int | None = None) -> None:
    observer = getattr(_local, "observer", None)
    if observer is not None:
        observer(at_redis=at_redis, backend=backend)


def _observed_wait(self: Any, *args: Any, **more: Any) -> Any:
    backend = self.pgconn.backend_pid if getattr(_local, "observer", None) else None
    _point(at_redis=False, backend=backend)
    result = _wait(self, *args, **more)
    _point(at_redis=False, backend=backend)
    return result


def _observed_command(self: Any, *args: Any, **more: Any) -> Any:
    _point(at_redis=True)
    result = _execute_command(self, *args, **more)
    _point(at_redis=True)
    return result


def _observed_pipeline(self: Any, *args: Any, **more: Any) -> Any:
    _point(at_redis=True)
    result = _execute_pipeline(self, *args, **more)
    _point(at_redis=True)
    return result


def install() -> None:
    """Put the points in; they cost a look at a thread-local where nobody observes."""
    psycopg.Connection.wait = _observed_wait  # type: ignore[method-assign]
    redis.Redis.execute_command = _observed_command  # type: ignore[method-assign]
    redis.client.Pipeline.execute = _observed_pipeline  # type: ignore[method-assign]
