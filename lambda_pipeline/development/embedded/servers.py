"""Start, find, stop and clean the embedded servers of one home."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lambda_pipeline.development.embedded.home import Home, open_home
from lambda_pipeline.development.embedded.lock import exclusive
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.embedded.server import Answer, Server
from lambda_pipeline.development.embedded.valkey import Valkey
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError

HAPI = "hapi"
DAGSTER = "dagster"


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs of embedded servers; empty for a server that was not requested or does not run.

    Attributes:
        postgres_url: database `hapi`, for `HAPI_DB_URL`.
        dagster_url: database `dagster` of the same server, for psycopg2.
        redis_url: for `REDIS_URL`.
    """

    postgres_url: str = ""
    dagster_url: str = ""
    redis_url: str = ""


def start(
    home: Path, *, postgres: bool = True, redis: bool = True, settings: Mapping[str, str] | None = None
) -> Servers:
    """Start the servers, or attach to running ones, and return their URLs.

    Safe from several processes at once. A killed server is started again on its files: PostgreSQL with every committed
    row, Valkey with all writes except at most those of the last second.

    Args:
        home: folder of all their files, on a local file system; created when missing. As root, PostgreSQL runs as
            account `postgres` or else `nobody`; where that account cannot enter the home, its files are in
            `/var/lib/lambda_pipeline/<hash of home>`.
        postgres: whether to start PostgreSQL.
        redis: whether to start Valkey.
        settings: more PostgreSQL settings; they take effect at its next start.

    Raises:
        ConfigurationError: the packages with the binaries are missing, or files belong to another user.
        ServerUnavailableError: a server does not start, with the end of its log.
    """
    place = open_home(home)
    database, cache = Postgres(place, settings), Valkey(place)
    with _files_are_usable(place), exclusive(place.lock):
        place.mark()
        if postgres:
            database.ensure()
            database.create_databases(HAPI, DAGSTER)
        if redis:
            cache.ensure()
    return _servers(database if postgres else None, cache if redis else None)


def claim(home: Path) -> None:
    """Make the home if it is missing, and let `clean` remove it whole, unless it contains files of others."""
    place = open_home(home)
    with _files_are_usable(place), exclusive(place.lock):
        place.mark()


def running(home: Path) -> Servers | None:
    """The servers that answer now, without starting any; `None` when neither does."""
    place = open_home(home)
    database, cache = Postgres(place), Valkey(place)
    found = _servers(database if _answers(database) else None, cache if _answers(cache) else None)
    return None if found == Servers() else found


def locate(home: Path) -> Servers:
    """The URLs of the servers of a home, whether they run or not."""
    place = open_home(home)
    return _servers(Postgres(place), Valkey(place))


def stop(home: Path) -> list[str]:
    """Stop the servers cleanly, if they run.

    Returns:
        The names of those that were running.

    Raises:
        ServerUnavailableError: one does not end.
    """
    place = open_home(home)
    servers: tuple[Server, ...] = (Postgres(place), Valkey(place))
    # Without a home no other process can start a server in it, and the lock would create the home.
    if not place.path.exists():
        return [server.name for server in servers if server.stop()]
    with _files_are_usable(place), exclusive(place.lock):
        return [server.name for server in servers if server.stop()]


def clean(home: Path) -> None:
    """Stop the servers and remove all their files: data, logs, sockets, the system-wide folder, and the home.

    A home that contained other files before the first start stays, with those files.

    Raises:
        ServerUnavailableError: a server does not end; nothing is removed then.
    """
    place = open_home(home)
    servers: tuple[Server, ...] = (Postgres(place), Valkey(place))
    with _files_are_usable(place), exclusive(place.lock):
        for server in servers:
            server.stop()
        for server in servers:
            server.remove()
        place.remove()


def _servers(database: Postgres | None, cache: Valkey | None) -> Servers:
    return Servers(
        postgres_url=database.url(HAPI) if database else "",
        dagster_url=database.url(DAGSTER, driver="postgresql+psycopg2") if database else "",
        redis_url=cache.url() if cache else "",
    )


def _answers(server: Server) -> bool:
    try:
        return server.probe() is Answer.READY
    except ServerUnavailableError:
        return False


@contextmanager
def _files_are_usable(place: Home) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ConfigurationError(
            f"embedded servers in {place.path}: permission denied for {error.filename or 'a file'}",
            hint="they belong to the user who started them first: be that user, use another LAMBDA_PIPELINE_HOME, "
            "or set HAPI_DB_URL and REDIS_URL",
        ) from None
    except (OSError, subprocess.TimeoutExpired, psycopg.Error) as error:
        raise ServerUnavailableError(f"embedded servers in {place.path}: {error}") from None
