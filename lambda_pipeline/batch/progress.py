"""Progress of long work: how many resources are done, how fast, and how long it will take.

The code that does the work counts; `show_with` decides how the count is shown, by default as log lines. The bar for
terminals stands in `cli/progress.py`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

logger = logging.getLogger(__name__)

_LOG_INTERVAL_S = 5.0


class Progress:
    """Counts resources, and shows the count every time it advances.

    Args:
        what: what is being done, such as `observation_labs: full build`.
        total: number of resources; None when it is not known.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.started = self._logged = time.monotonic()

    def advance(self, count: int) -> None:
        """Add a number of resources that are done."""
        self.done += count
        _show.get()(self)

    def log_at_intervals(self) -> None:
        """Write a log line if the last one is at least five seconds old."""
        now = time.monotonic()
        if now - self._logged >= _LOG_INTERVAL_S:
            self._logged = now
            logger.info("%s: %s", self.what, self)

    def __str__(self) -> str:
        if self.total is None:
            return f"{self.done:,} resources"
        rate = self.done / max(time.monotonic() - self.started, 1e-6)
        left = (self.total - self.done) / rate if rate else 0.0
        return f"{self.done:,} of {self.total:,} resources, {rate:,.0f}/s, about {left:.0f} s left"


_show: ContextVar[Callable[[Progress], None]] = ContextVar("show", default=Progress.log_at_intervals)


@contextmanager
def show_with(show: Callable[[Progress], None]) -> Iterator[None]:
    """Call `show` instead of writing log lines, within the `with` block."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)
