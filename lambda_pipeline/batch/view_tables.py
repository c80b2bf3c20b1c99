"""Tables of views' rows: their names, columns and indexes, inserting and deleting rows, and the quarantine.

When a table is made, filled or published is decided in `refresh.py`; which table a generation reads in `generation.py`.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import SCHEMA
from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.errors import RefreshError
from lambda_pipeline.settings import sql_directory
from lambda_pipeline.source import ResourceKey, ResourceRelation, Unreadable
from lambda_pipeline.views.view import MAX_VIEW_NAME, View

logger = logging.getLogger(__name__)

# A reader may hold a snapshot from before the table was superseded; no question takes this long.
_GRACE_S = 900

_METHODS = ("btree", "spgist")
"""Access methods of an index on a column, best first.

A btree cannot hold a value above some 2,700 bytes. SP-GiST splits long texts, and finds equal values and ranges too; it
takes about five times as long to build. A hash index would hold values of the other types as well, but the time to
build it grows with the square of the number of equal values.
"""
_INSTALL_LOCK = 7_046_029_254_386_353_131


def schema_file() -> Path:
    """The file with the DDL of the batch layer's own tables."""
    return sql_directory() / "schema.sql"


def install(connection: Connection) -> None:
    """Create the schema and its own tables where they are missing; several processes may do so at once.

    Raises:
        RefreshError: the role may not create them.
    """
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%(key)s)", {"key": _INSTALL_LOCK})
            connection.execute(schema_file().read_bytes())
    except psycopg.errors.InsufficientPrivilege as error:
        raise RefreshError(
            f"schema {SCHEMA} cannot be created: {str(error).splitlines()[0]}",
            hint="let a DBA run sql/schema.sql and sql/roles.sql once",
        ) from None


def table_name(view: str, generation: int) -> str:
    """Name of the table that a full build in this generation makes for a view; at most PostgreSQL's 63 bytes."""
    if len(view) > MAX_VIEW_NAME:
        view = f"{view[: MAX_VIEW_NAME - 9]}_{hashlib.sha256(view.encode()).hexdigest()[:8]}"
    return f"{view}__{generation}"


def create(connection: Connection, view: View, table: sql.Identifier, *, temporary: bool = False) -> None:
    """Create the empty table of a view."""
    columns: list[sql.Composable] = [
        sql.SQL("_partition integer NOT NULL"),
        sql.SQL("_id text NOT NULL"),
        sql.SQL("_version bigint NOT NULL"),
    ]
    columns += [sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in view.columns]
    connection.execute(
        sql.SQL("CREATE {temporary} TABLE {table} ({columns}) {at_end}").format(
            temporary=sql.SQL("TEMPORARY" if temporary else ""),
            table=table,
            columns=sql.SQL(", ").join(columns),
            at_end=sql.SQL("ON COMMIT DROP" if temporary else ""),
        )
    )


def finish(connection: Connection, view: View, table: sql.Identifier) -> None:
    """Index and analyze a filled table: the key, and the columns that the definition marks as indexed."""
    connection.execute(sql.SQL("CREATE INDEX ON {} (_id, _partition)").format(table))
    for column in view.columns:
        if column.indexed:
            _index(connection, table, column.name)
    connection.execute(sql.SQL("ANALYZE {}").format(table))


def _index(connection: Connection, table: sql.Identifier, column: str) -> None:
    """Index a column by the first method that can hold all its values; a longer number or list leaves it without."""
    statement = sql.SQL("CREATE INDEX ON {} USING {} ({})")
    for method in _METHODS:
        try:
            with connection.transaction():
                connection.execute(statement.format(table, sql.SQL(method), sql.Identifier(column)))
        except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.UndefinedObject):
            continue
        return
    logger.warning("column %s holds a value that no index can hold: questions read the whole table", column)


def insert(connection: Connection, view: View, table: sql.Identifier, relation: ResourceRelation) -> int:
    """Run the view over a relation and insert its rows into the table; returns the number of rows."""
    names = ["_partition", "_id", "_version", *(column.name for column in view.columns)]
    statement = sql.SQL("INSERT INTO {} ({}) {}").format(
        table, sql.SQL(", ").join(map(sql.Identifier, names)), view.select(relation.query)
    )
    return connection.execute(statement, dict(relation.parameters)).rowcount


def delete(connection: Connection, table: sql.Identifier, keys: Collection[ResourceKey]) -> int:
    """Delete all rows of these resources; returns the number of rows."""
    statement = sql.SQL(
        "DELETE FROM {} t USING unnest(%(partitions)s::integer[], %(ids)s::text[]) AS k(partition, id)"
        " WHERE t._id = k.id AND t._partition = k.partition"
    ).format(table)
    parameters = {"partitions": [key.partition for key in keys], "ids": [key.id for key in keys]}
    return connection.execute(statement, parameters).rowcount


def expose(connection: Connection, view: View, table: sql.Identifier) -> None:
    """Make `sqlonfhir.<view>` show this table, for sessions that read at READ COMMITTED.

    Raises:
        RefreshError: the columns changed, and other database objects depend on the old ones.
    """
    public = sql.Identifier(SCHEMA, view.name)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in view.columns)
    shown = sql.SQL("VIEW {} AS SELECT {} FROM {}").format(public, columns, table)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE OR REPLACE {}").format(shown))
    except psycopg.errors.InvalidTableDefinition:
        try:
            connection.execute(sql.SQL("DROP VIEW {}").format(public))
        except psycopg.errors.DependentObjectsStillExist:
            raise RefreshError(
                f"other database objects depend on {SCHEMA}.{view.name}, whose columns changed",
                hint="drop them, or give the new definition another name",
            ) from None
        connection.execute(sql.SQL("CREATE {}").format(shown))
    if view.description:
        connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(public, sql.Literal(view.description)))


def replace_quarantine(
    connection: Connection,
    view: View,
    generation: int,
    unreadable: Iterable[Unreadable],
    read_again: Collection[ResourceKey] | None,
) -> int:
    """Replace the quarantine of a view; returns how many of its resources are quarantined now.

    Args:
        connection: in the refresh's transaction.
        view: the view.
        generation: number of the generation that is being made.
        unreadable: resources that cannot be read now.
        read_again: the resources that were read; None for all.
    """
    parameters = {"view": view.name}
    if read_again is None:
        connection.execute("DELETE FROM sqlonfhir.quarantine WHERE view = %(view)s", parameters)
    else:
        keys = {"partitions": [key.partition for key in read_again], "ids": [key.id for key in read_again]}
        connection.execute(_RELEASE, {**parameters, **keys})
    with connection.cursor() as cursor:
        cursor.executemany(
            _QUARANTINE,
            [
                {
                    "view": view.name,
                    "partition": found.key.partition,
                    "resource_type": found.key.type,
                    "id": found.key.id,
                    "version": found.version,
                    "sqlstate": found.sqlstate,
                    "reason": found.reason,
                    "generation": generation,
                }
                for found in unreadable
            ],
        )
    (count,) = fetch_one(connection, "SELECT count(*) FROM sqlonfhir.quarantine WHERE view = %(view)s", parameters)
    return int(count)


def drop_superseded(connection: Connection) -> list[str]:
    """Drop tables of older full builds of published views; returns their names.

    A table stays for 15 minutes after it was superseded, since a reader may hold a snapshot from before. One that is
    being read stays until the next refresh. Tables of retired views are never dropped here.
    """
    rows = connection.execute(_SUPERSEDED, {"grace_s": _GRACE_S}).fetchall()
    dropped = []
    for (relation,) in rows:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '200ms'")
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, relation)))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
            continue
        dropped.append(relation)
    return dropped


_RELEASE = """
DELETE FROM sqlonfhir.quarantine q USING unnest(%(partitions)s::integer[], %(ids)s::text[]) AS k(partition, id)
 WHERE q.view = %(view)s AND q.id = k.id AND q.partition = k.partition"""

_QUARANTINE = """
INSERT INTO sqlonfhir.quarantine (view, partition, resource_type, id, version, sqlstate, reason, generation)
VALUES (%(view)s, %(partition)s, %(resource_type)s, %(id)s, %(version)s, %(sqlstate)s, %(reason)s, %(generation)s)
ON CONFLICT (view, partition, id) DO UPDATE
   SET version = excluded.version, sqlstate = excluded.sqlstate, reason = excluded.reason"""

_SUPERSEDED = """
SELECT old.relation
  FROM (SELECT view, relation, max(generation) AS last_used
          FROM sqlonfhir.generation_view GROUP BY view, relation) old
  JOIN LATERAL (SELECT min(g.published_at) AS superseded_at
                  FROM sqlonfhir.generation_view later JOIN sqlonfhir.generation g USING (generation)
                 WHERE later.view = old.view AND later.generation > old.last_used) newer ON TRUE
 WHERE newer.superseded_at < clock_timestamp() - make_interval(secs => %(grace_s)s)
   AND to_regclass(format('sqlonfhir.%%I', old.relation)) IS NOT NULL"""
