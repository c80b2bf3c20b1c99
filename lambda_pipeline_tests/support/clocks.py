"""A clock that tests move, and a way to read rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Rows = Callable[..., list[tuple[Any, ...]]]


class SteppingClock:
    """A clock that moves on `advance` only, and by one millisecond per reading so that readings differ."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)
