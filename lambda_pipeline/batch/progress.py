"""Progress of long work in the log: how much, how fast, how long still."""

import logging
import time

logger = logging.getLogger(__name__)

_EVERY_S = 5.0


class Progress:
    """Counts resources and logs a line every few seconds, and one at the end when it took that long.

    Args:
        what: what is being done, such as `observation_labs: full build`.
        total: how many resources there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self._logged = self.started

    def advance(self, count: int) -> None:
        """Say that so many more are done."""
        self.done += count
        now = time.monotonic()
        if now - self._logged >= _EVERY_S:
            self._logged = now
            rate = self.done / (now - self.started)
            left = (self.total - self.done) / rate if rate else 0.0
            logger.info(
                "%s: %s of %s resources, %s/s, about %.0f s left",
                self.what,
                f"{self.done:,}",
                f"{self.total:,}",
                f"{rate:,.0f}",
                left,
            )

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started
