"""Who decides whether a notice leaves now: one per interval and subject while it fails, and one when it is over."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import ParamSpec

from lambda_pipeline.operations.notify.channels import Channel, Delivery, configured_channels
from lambda_pipeline.operations.notify.ledger import TRY_AGAIN_S, Episode, Ledger
from lambda_pipeline.operations.notify.notice import Notice, State
from lambda_pipeline.settings import Settings

logger = logging.getLogger(__name__)

P = ParamSpec("P")


def _never_raising(method: Callable[P, bool]) -> Callable[P, bool]:
    """Log whatever a method raises: a pipeline must not stop because nobody could be told."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> bool:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (a full disk, a broken file: nothing of it may reach the pipeline)
            logger.warning("nobody could be told: %s", type(error).__name__)
            return False

    return guarded


class Notifier:
    """Sends notices on the configured channels, and remembers what was told.

    Args:
        settings: channels, interval, home folder.
        clock: seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.channels: Sequence[Channel] = configured_channels(settings)
        self.ledger = Ledger(settings.home.expanduser())
        self._interval_s = settings.notify_interval_s
        self._clock = clock

    @_never_raising
    def tell(self, notice: Notice) -> bool:
        """Send the notice of a failure, unless its subject was told of within the interval.

        Returns:
            Whether somebody was told now; without a channel nobody ever is.
        """
        if not self.channels:
            return False
        now = self._clock()
        with self.ledger.change() as episodes:
            episode = episodes.setdefault(notice.subject, Episode(now))
            if episode.over:
                episode.over, episode.told, episode.since = False, False, now
            if now < episode.next_at:
                episode.held_back += 1
                return False
            # Before the delivery, so that another process does not send the same meanwhile.
            episode.next_at = now + self._interval_s
            held_back, episode.held_back = episode.held_back, 0
        sent = self._deliver(replace(notice, held_back=held_back))
        with self.ledger.change() as episodes:
            if (found := episodes.get(notice.subject)) is not None:
                found.told |= sent
                if not sent:
                    found.next_at = now + min(TRY_AGAIN_S, self._interval_s)
                    found.held_back = held_back + 1
        return sent

    @_never_raising
    def tell_over(self, subject: str) -> bool:
        """Send that a failure is over, if somebody was told of it; cheap where nothing failed.

        Returns:
            Whether somebody was told now.
        """
        if not self.channels or (known := self.ledger.read().get(subject)) is None or known.over:
            return False
        now = self._clock()
        with self.ledger.change() as episodes:
            episode = episodes.get(subject)
            if episode is None or episode.over or now < episode.over_next_at:
                return False
            episode.over_next_at = now + TRY_AGAIN_S
            episode.over = not episode.told
            if episode.over:
                return False
            minutes, held_back = (now - episode.since) / 60, episode.held_back
        reason = f"it is over after {minutes:,.0f} min"
        sent = self._deliver(Notice(subject, reason, state=State.OVER, held_back=held_back))
        if sent:
            with self.ledger.change() as episodes:
                if (found := episodes.get(subject)) is not None:
                    found.over, found.held_back = True, 0
        return sent

    def send_test(self) -> list[Delivery]:
        """Send a test on every channel, whatever was sent before."""
        notice = Notice("test", "this is a test: notices of this deployment arrive here", state=State.TEST)
        return [channel.send(notice) for channel in self.channels]

    def open_subjects(self) -> dict[str, Episode]:
        """What fails at present, as far as somebody was to be told of it."""
        return {subject: episode for subject, episode in sorted(self.ledger.read().items()) if not episode.over}

    def _deliver(self, notice: Notice) -> bool:
        deliveries = [channel.send(notice) for channel in self.channels]
        for failed in (each for each in deliveries if not each.sent):
            logger.warning("a notice of %s was not sent: %s: %s", notice.subject, failed.channel, failed.text)
        return any(each.sent for each in deliveries)
