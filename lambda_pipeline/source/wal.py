"""What must be on disk before a mark may outlive its transaction.

A mark says of transaction numbers that they are over. After a crash PostgreSQL knows only what its log holds: a commit
that was not flushed has not happened, and a number that no flushed record names is given out again. The record of each
ending is in the log before a snapshot sees the transaction as over. So once the log is flushed up to where it was being
written when the snapshot existed, everything the mark says stays true.
"""

from lambda_pipeline.database import Connection


def log_position(connection: Connection) -> str:
    """Where the server is writing its log: behind all that the snapshot of this transaction sees as over."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    position: str = row[0]
    return position


def make_durable(connection: Connection, position: str) -> None:
    """Return once the log is on disk up to this position.

    Mostly it is: HAPI waits for its own commits, each of which flushes all before it. Otherwise an empty message in the
    log is committed synchronously, which any role may do, a read-only one too.

    Args:
        connection: not in a transaction.
        position: from `log_position`.
    """
    row = connection.execute(
        "SELECT pg_current_wal_flush_lsn() >= %(position)s::pg_lsn", {"position": position}
    ).fetchone()
    if row and row[0]:
        return
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = local")
        connection.execute("SELECT pg_logical_emit_message(TRUE, 'lambda_pipeline', '')")


def commit_durably(connection: Connection) -> None:
    """Let this transaction's commit return after it is on disk, whatever the server's default is."""
    connection.execute(
        "SELECT set_config('synchronous_commit', 'local', TRUE) WHERE current_setting('synchronous_commit') = 'off'"
    )
