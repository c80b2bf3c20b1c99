"""What ticks of the capture sensor did, counted in Redis, so that a process without state can show it.

They are for people: nothing is decided by them, and where Redis loses them they begin again at zero.
"""

from contextlib import suppress
from dataclasses import dataclass

import redis

from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.redis_errors import redis_errors
from lambda_pipeline.speed.tick import Tick

_KEY = "counters"


@dataclass(frozen=True, slots=True)
class TickCounters:
    """Sums over all ticks since Redis was last empty.

    Attributes:
        polls: number of polls.
        poll_seconds: time they took together.
        published_polls: number of those that found changes.
        captured: entries that they published.
        lag_s: how far the overlay was behind at worst in the last tick; None before the first.
    """

    polls: int = 0
    poll_seconds: float = 0.0
    published_polls: int = 0
    captured: int = 0
    lag_s: float | None = None


def count_tick(overlay: Overlay, tick: Tick) -> None:
    """Add a tick; one exchange with Redis, whose failure changes nothing."""
    with suppress(redis.RedisError), overlay.client.pipeline(transaction=False) as pipeline:
        name = overlay.prefix + _KEY
        pipeline.hincrby(name, "polls", len(tick.polls))
        pipeline.hincrbyfloat(name, "poll_seconds", sum(poll.seconds for poll in tick.polls))
        pipeline.hincrby(name, "published_polls", sum(poll.count > 0 for poll in tick.polls))
        pipeline.hincrby(name, "captured", tick.count)
        pipeline.hset(name, "lag_s", f"{tick.lag_s:.6f}")
        pipeline.execute()


def read_tick_counters(overlay: Overlay) -> TickCounters:
    """The sums.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with redis_errors(), overlay.client.pipeline(transaction=False) as pipeline:
        pipeline.hgetall(overlay.prefix + _KEY)
        (fields,) = pipeline.execute()
    with suppress(ValueError):
        return TickCounters(
            polls=int(fields.get("polls", 0)),
            poll_seconds=float(fields.get("poll_seconds", 0.0)),
            published_polls=int(fields.get("published_polls", 0)),
            captured=int(fields.get("captured", 0)),
            lag_s=float(fields["lag_s"]) if "lag_s" in fields else None,
        )
    return TickCounters()
