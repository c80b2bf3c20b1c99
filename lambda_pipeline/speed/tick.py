"""One tick of the capture sensor: polls at a steady pace for a few seconds, and what they did together.

What one poll does belongs in `poll`, what Dagster shows of a tick in `orchestration`.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.poll import Poll, Poller

BUDGET_LIMIT_S = 45.0
"""Polling stops before this whatever is configured: Dagster gives up a tick after 60 s, but does not end its code."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What the polls of one tick did; each of them was visible to readers as soon as it ended.

    Attributes:
        polls: in the order they were made; at least one.
        lag_s: seconds by which the overlay's frontier was behind at worst, since the last poll before the tick.
    """

    polls: tuple[Poll, ...]
    lag_s: float

    @property
    def captured(self) -> Mapping[str, int]:
        """Entries published, by resource type."""
        return dict(sorted(sum((Counter(poll.captured) for poll in self.polls), Counter[str]()).items()))

    @property
    def count(self) -> int:
        """Entries published."""
        return sum(poll.count for poll in self.polls)

    @property
    def deleted(self) -> int:
        """How many of them are deletes."""
        return sum(poll.deleted for poll in self.polls)

    @property
    def unreadable(self) -> int:
        """How many of them have no rows because they cannot be read."""
        return sum(poll.unreadable for poll in self.polls)

    @property
    def late(self) -> int:
        """How many of them a poll by HAPI's timestamps alone would have missed."""
        return sum(poll.late for poll in self.polls)

    @property
    def pruned(self) -> int:
        """Entries that were removed because a generation covers them."""
        return sum(poll.pruned for poll in self.polls)

    @property
    def rebuilt(self) -> str:
        """Why the overlay was made again; empty when it was not."""
        return "; ".join(dict.fromkeys(poll.rebuilt for poll in self.polls if poll.rebuilt))

    @property
    def last(self) -> Poll:
        """The newest poll."""
        return self.polls[-1]

    @property
    def frontier(self) -> datetime | None:
        """Everything committed in HAPI by then was captured; None when nothing could be."""
        mark = self.last.mark
        return mark.taken_at if mark and not self.refresh_needed else None

    @property
    def refresh_needed(self) -> str:
        """Why the batch layer must be refreshed before capture can go on; empty when it need not."""
        if self.last.waiting:
            return self.last.waiting
        if not self.last.over_budget:
            return ""
        return "the overlay reached its limit (LAMBDA_PIPELINE_OVERLAY_MAX_ENTRIES or _MAX_BYTES)"

    @property
    def changed(self) -> bool:
        """Whether anything is different from before the tick."""
        return bool(self.count or self.pruned or self.rebuilt)


def run_tick(
    poller: Poller,
    settings: Settings,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Tick:
    """Poll every `poll_interval_s` for `tick_budget_s`, at least once; stop early when polling cannot go on.

    The last poll comes earlier if need be, so that it ends within the budget: a tick that is not over at the daemon's
    next turn makes the following one a whole turn late.

    Raises:
        CaptureError, HapiUnavailableError, RedisUnavailableError: a poll failed; those before it stay published.
    """
    began = due = clock()
    polls: list[Poll] = []
    lag_s = slowest_s = 0.0
    while True:
        sleep(max(0.0, due - clock()))
        poll = poller.poll()
        polls.append(poll)
        lag_s = max(lag_s, _lag(poll))
        slowest_s = max(slowest_s, poll.seconds)
        end = began + min(settings.tick_budget_s, BUDGET_LIMIT_S) - slowest_s
        after = max(due + settings.poll_interval_s, clock())
        if poll.waiting or poll.over_budget or due >= end or after - end > settings.poll_interval_s / 2:
            return Tick(tuple(polls), lag_s)
        due = min(after, end)


def _lag(poll: Poll) -> float:
    """Age that the previous frontier had reached when this poll replaced it; marks carry one server's clock."""
    if poll.mark is None or poll.previous is None or poll.previous.cluster != poll.mark.cluster:
        return poll.seconds
    return (poll.mark.taken_at - poll.previous.taken_at).total_seconds() + poll.seconds
