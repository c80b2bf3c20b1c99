"""Errors of Redis as errors of this project, without the command that failed: it may hold ids and rows of resources."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis import exceptions

from lambda_pipeline.errors import RedisUnavailableError

_REASONS: dict[type[redis.RedisError], str] = {
    exceptions.OutOfMemoryError: "it has no memory left",
    exceptions.BusyLoadingError: "it is still loading its files",
    exceptions.ReadOnlyError: "it is read-only, such as a replica",
    exceptions.MasterDownError: "its primary is down",
    exceptions.NoPermissionError: "its user lacks a right",
    exceptions.AuthenticationError: "user or password are wrong or missing",
}
_CODES = {
    "OOM": "it has no memory left",
    "MISCONF": "it cannot write its files",
    "NOAUTH": "user or password are wrong or missing",
    "WRONGTYPE": "a key of the overlay has another type",
    "BUSY": "a script keeps it busy",
    "NOREPLICAS": "it lacks replicas",
}


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise `RedisUnavailableError` for whatever Redis or its driver raises in the `with` block."""
    try:
        yield
    except redis.RedisError as error:
        hint = "check REDIS_URL, memory and eviction policy"
        raise RedisUnavailableError(f"Redis: {_reason(error)}", hint=hint) from None
    except UnicodeDecodeError:
        raise damaged("a value") from None


def damaged(what: str) -> RedisUnavailableError:
    """The error of an overlay that somebody else wrote into."""
    return RedisUnavailableError(
        f"Redis: {what} is not what a poll writes", hint="lambda-pipeline poll --rebuild makes the overlay again"
    )


def _reason(error: redis.RedisError) -> str:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    text = (str(error).splitlines() or [""])[0]
    if type(error) in {exceptions.ConnectionError, exceptions.TimeoutError}:
        return text  # the driver's own text: host, port and what the network says
    # A pipeline puts the command in front of what the server said.
    code = text.rpartition(" caused error: ")[2].partition(" ")[0]
    return _CODES.get(code, f"it refused a command ({type(error).__name__})")
