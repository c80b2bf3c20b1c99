"""Connections to PostgreSQL, and what every layer needs to run statements over them.

Here: the pool, the session settings that make a view's rows the same in every session, a transaction with one
snapshot, a query of one row. Not here: statements about HAPI's tables (`source/`) or generations (`batch/`).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg.abc import QueryNoTemplate
from psycopg.types.json import set_json_loads

from lambda_pipeline import sqlstate
from lambda_pipeline.environment import read_postgresql_url
from lambda_pipeline.errors import ConfigurationError, HapiUnavailableError, SourceBusyError

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_TIMEOUT_S = 10
"""How long a statement waits for a table that another session has locked; less where the role or database says so."""


def parse_url(url: str, *, name: str) -> sa.URL:
    """Parse a PostgreSQL URL for psycopg 3, whatever driver it names.

    Args:
        url: the URL.
        name: the setting that it comes from, for error messages.

    Raises:
        ConfigurationError: it is not a PostgreSQL URL.
    """
    try:
        return read_postgresql_url(url).set(drivername="postgresql+psycopg")
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}", hint="postgresql://user:password@host:5432/database") from None


class Database:
    """A pool of connections to one PostgreSQL database.

    Every connection is in autocommit mode, in UTC, and reads JSON numbers as `Decimal`: a FHIR decimal never passes
    through a float. No statement waits longer than `LOCK_TIMEOUT_S` for a lock. The pool is an SQLAlchemy engine,
    which pandas and other libraries accept too.

    Args:
        url: a PostgreSQL URL.
        name: the setting that it comes from, for error messages.
        pool_size: connections kept open.
        connect_timeout_s: seconds after which a server counts as unreachable.
        application_name: shown in `pg_stat_activity`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "HAPI_DB_URL",
        pool_size: int = 5,
        connect_timeout_s: int = 5,
        application_name: str = "lambda_pipeline",
    ) -> None:
        self.name = name
        self.url = parse_url(url, name=name)
        self.engine = sa.create_engine(
            self.url,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": connect_timeout_s, "application_name": application_name},
        )
        sa.event.listen(self.engine, "connect", _prepare)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Take a connection in autocommit mode from the pool for the `with` block.

        Raises:
            HapiUnavailableError: the server cannot be reached, or no connection becomes free.
            SourceBusyError: a statement of the block waited too long for a lock.
        """
        try:
            pooled = self.engine.raw_connection()
        except (sa.exc.OperationalError, psycopg.OperationalError) as error:
            raise HapiUnavailableError(f"{self.name}: {self.describe()} cannot be reached: {reason(error)}") from None
        except sa.exc.TimeoutError:
            raise HapiUnavailableError(
                f"{self.name}: all connections of this process are in use",
                hint="ask less at once, or raise LAMBDA_PIPELINE_POOL_SIZE",
            ) from None
        connection = cast("Connection", pooled.driver_connection)
        try:
            yield connection
        except psycopg.errors.LockNotAvailable:
            raise table_locked() from None
        finally:
            if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                pooled.invalidate()
            pooled.close()

    def describe(self) -> str:
        """Name host and database for messages; never user or password."""
        host = self.url.host or self.url.query.get("host") or "local socket"
        return f"PostgreSQL at {host} database {self.url.database}"

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def table_locked() -> SourceBusyError:
    """The error of a statement that waited too long for a lock."""
    return SourceBusyError(
        f"a table that is needed was locked by another session for more than {LOCK_TIMEOUT_S} s",
        hint="wait until the migration or maintenance of the database is done",
    )


@contextmanager
def unlimited_lock_waits(connection: Connection) -> Iterator[None]:
    """Let statements of the `with` block wait for locks as long as role and database allow: for readers of a table."""
    connection.execute("SET lock_timeout TO DEFAULT")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(_LIMIT_LOCK_WAITS, {"limit": f"{LOCK_TIMEOUT_S}s"})


@contextmanager
def repeatable_read(connection: Connection, *, read_only: bool = True) -> Iterator[None]:
    """Run the `with` block in one `REPEATABLE READ` transaction: all its statements read one snapshot.

    The first statement that reads takes the snapshot; `LOCK TABLE` and `SET LOCAL` before it do not.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = read_only
    try:
        with connection.transaction():
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = None
            connection.read_only = None


def fetch_one(
    connection: Connection, query: QueryNoTemplate, parameters: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """Run a query that always returns a row, such as an aggregate, and return its first row."""
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row


def reason(error: BaseException) -> str:
    """Return what a driver's error means in one line, without values that the statement read or was given."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, psycopg.Error):
        return sqlstate.describe(original)
    lines = str(original).strip().splitlines()
    return lines[0] if lines else type(original).__name__


SESSION = {
    "client_encoding": "UTF8",
    "search_path": '"$user", public',
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "xmloption": "content",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "default_text_search_config": "pg_catalog.simple",
    "timezone_abbreviations": "Default",
    "gin_fuzzy_search_limit": "0",
    "row_security": "off",
}
"""Every parameter of a session that can change a value, a set of rows or the meaning of a statement.

A database or a role may have other defaults. `row_security` off: a filter of rows is an error instead of fewer rows.
"""


def _prepare(connection: Any, _record: object) -> None:
    # A view's rows must not depend on the session that computes them: docs/guarantees.md, "One compiler, two layers".
    raw = getattr(connection, "driver_connection", connection)
    raw = getattr(raw, "_connection", raw)
    set_json_loads(partial(json.loads, parse_float=Decimal), raw)
    with raw.cursor() as cursor:
        cursor.execute(_SET, {"names": list(SESSION), "values": list(SESSION.values())})
        cursor.execute(_LIMIT_LOCK_WAITS, {"limit": f"{LOCK_TIMEOUT_S}s"})


_SET = "SELECT set_config(name, value, FALSE) FROM unnest(%(names)s::text[], %(values)s::text[]) AS s(name, value)"

_LIMIT_LOCK_WAITS = """
SELECT set_config('lock_timeout', %(limit)s, FALSE)
 WHERE NOT current_setting('lock_timeout')::interval BETWEEN '1 microsecond' AND %(limit)s::interval"""
