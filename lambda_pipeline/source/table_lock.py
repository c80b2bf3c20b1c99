"""Locks on the shape of HAPI's tables, from before a snapshot is taken until its transaction ends.

A table that is rewritten (`ALTER TABLE`, `TRUNCATE`) after a snapshot was taken looks empty in it. Reading a table
locks it against that, but the snapshot is older than the first read of each table. `LOCK TABLE` takes no snapshot, so
in a transaction that begins with it the lock is older: https://www.postgresql.org/docs/current/sql-lock.html

The argument: docs/guarantees.md, "Snapshots order everything". Only `snapshot.py` uses this.
"""

import psycopg
from psycopg import sql

from lambda_pipeline.database import LOCK_TIMEOUT_S, Connection
from lambda_pipeline.errors import SourceBusyError
from lambda_pipeline.source.columns import TABLES


def readable_tables(connection: Connection, schema: str) -> list[sql.Identifier]:
    """HAPI's tables that exist and may be read; call it before the transaction, since it takes a snapshot."""
    rows = connection.execute(_READABLE, {"schema": schema, "tables": list(TABLES)})
    return [sql.Identifier(schema, name) for (name,) in rows]


def lock_tables(connection: Connection, tables: list[sql.Identifier], timeout_s: float = LOCK_TIMEOUT_S) -> None:
    """Lock these tables against changes of their shape, as the first statement of a transaction; takes no snapshot.

    The limit holds for every lock that the transaction takes.

    Raises:
        SourceBusyError: the shape of one of them is being changed, and that did not end in time.
    """
    if not tables:
        return
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(int(timeout_s * 1000))))
    try:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(tables)))
    except psycopg.errors.LockNotAvailable:
        raise SourceBusyError(
            f"a table of HAPI's was locked for more than {timeout_s:g} s: its shape is being changed",
            hint="wait until the migration of HAPI's database is done",
        ) from None


_READABLE = """
SELECT c.relname::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p')
   AND has_table_privilege(c.oid, 'SELECT')
 ORDER BY c.relname"""
