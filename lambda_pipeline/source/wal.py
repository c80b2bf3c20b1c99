"""Make PostgreSQL's log durable up to a mark, before the mark is stored outside its transaction.

A mark states which transaction numbers are over. After a crash PostgreSQL knows only what its log holds: a commit that
was not flushed has not happened, and a number that no flushed record names is given out again. The record of each
transaction's end is in the log before a snapshot sees it as over. So once the log is flushed up to the place where it
was being written when the snapshot existed, everything that the mark states stays true.

The argument: docs/guarantees.md, "Marks survive a crash".
"""

from lambda_pipeline.database import Connection, fetch_one


def log_position(connection: Connection) -> str:
    """The place where the server is writing its log: behind the ends of all transactions that the snapshot sees."""
    (position,) = fetch_one(connection, "SELECT pg_current_wal_insert_lsn()::text")
    return str(position)


def make_durable(connection: Connection, position: str) -> None:
    """Return when the log is on disk up to this position.

    Usually it already is: HAPI waits for its own commits, and each flushes everything before it. Otherwise an empty
    message in the log is committed synchronously. Any role may do that, including a read-only one.

    Args:
        connection: not in a transaction.
        position: from `log_position`.
    """
    (flushed,) = fetch_one(
        connection, "SELECT pg_current_wal_flush_lsn() >= %(position)s::pg_lsn", {"position": position}
    )
    if flushed:
        return
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = local")
        connection.execute("SELECT pg_logical_emit_message(TRUE, 'lambda_pipeline', '')")


def commit_durably(connection: Connection) -> None:
    """Make the commit of this transaction return only when it is on disk, even where the server's default is `off`."""
    connection.execute(
        "SELECT set_config('synchronous_commit', 'local', TRUE) WHERE current_setting('synchronous_commit') = 'off'"
    )
