"""A refresh that is repeated until it is done, so that a night is not lost because a server was away.

Which run is started, and when, does not belong here, nor what one refresh does (`batch/refresh.py`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import (
    LambdaPipelineError,
    RefreshInProgressError,
    ServerUnavailableError,
    SourceBusyError,
)
from lambda_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt after which another one follows.

    Attributes:
        number: counts from 1.
        error: why it failed.
        wait_s: seconds until the next one.
        left_s: seconds for which attempts go on.
    """

    number: int
    error: LambdaPipelineError
    wait_s: float
    left_s: float

    def __str__(self) -> str:
        again = f"next one in {self.wait_s:,.0f} s, for {self.left_s:,.0f} s more"
        return f"attempt {self.number} failed [{self.error.code}]: {self.error}; {again}"


def refresh_persistently(deployment: Deployment, *, full: bool, warn: Callable[[FailedAttempt], None]) -> Generation:
    """Refresh, and repeat that while a server is away or busy, for as long as the settings say.

    An error that waiting cannot mend is raised at once: a missing right, a view that cannot be made.

    Args:
        deployment: the layers.
        full: build every view from the source.
        warn: receives each attempt that failed and is repeated.

    Raises:
        LambdaPipelineError: as `Deployment.refresh`. After repetitions the message says how many there were.
    """
    settings = deployment.settings
    began = time.monotonic()
    attempts = 0
    while True:
        try:
            return deployment.refresh(full=full)
        except LambdaPipelineError as error:
            attempts += 1
            left_s = settings.refresh_retry_for_s - (time.monotonic() - began)
            if not is_transient(error) or left_s <= 0:
                raise _with_attempts(error, attempts, time.monotonic() - began) from None
            wait_s = min(wait_before_attempt(attempts + 1, settings), left_s)
            warn(FailedAttempt(attempts, error, wait_s, left_s))
            # The wait is ours and not an event of Dagster, whose own wait cannot be cancelled before it is over.
            time.sleep(wait_s)


def wait_before_attempt(number: int, settings: Settings) -> float:
    """Seconds to wait before this attempt, counted from 1: none before the first, then doubling up to the longest."""
    if number <= 1:
        return 0.0
    # 2 ** 64 s are beyond every setting; without a bound a short first wait would overflow after a thousand attempts.
    return min(settings.refresh_retry_first_s * 2.0 ** min(number - 2, 64), settings.refresh_retry_longest_s)


def is_transient(error: LambdaPipelineError) -> bool:
    """Whether the same refresh may succeed later without anybody's work."""
    away_or_busy = isinstance(error, ServerUnavailableError | SourceBusyError | RefreshInProgressError)
    return away_or_busy or isinstance(error.__context__, psycopg.OperationalError)


def _with_attempts(error: LambdaPipelineError, attempts: int, seconds: float) -> LambdaPipelineError:
    if attempts == 1:
        return error
    return type(error)(f"{error.message}; given up after {attempts} attempts in {seconds:,.0f} s", hint=error.hint)
