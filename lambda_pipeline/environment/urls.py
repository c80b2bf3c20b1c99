"""URLs of servers."""

import re
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

_PORTS = range(1, 65_536)
_REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})


def read_postgresql_url(text: str) -> sa.URL:
    """A URL of PostgreSQL, whatever driver it names.

    Raises:
        ValueError: it is none.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("not a URL such as postgresql://user:password@host:5432/database") from None
    if url.get_backend_name() != "postgresql":
        raise ValueError("not a URL of PostgreSQL; it begins with postgresql://")
    _check_port(url.port)
    return url


def check_redis_url(text: str) -> None:
    """Check a URL of Redis.

    Raises:
        ValueError: it is none.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("its host or port cannot be read; escape special characters of a password") from None
    if url.scheme not in _REDIS_SCHEMES:
        raise ValueError("it begins with none of redis://, rediss://, unix://")
    _check_port(port)
    if url.scheme == "unix" and not url.path:
        raise ValueError("it names no socket")
    if url.scheme != "unix" and not re.fullmatch(r"/?[0-9]*/?", url.path):
        raise ValueError("its path is not the number of a database, as in redis://host:6379/0")


def _check_port(port: int | None) -> None:
    if port is not None and port not in _PORTS:
        raise ValueError("its port is not one of 1 to 65535")
