"""Which relations HAPI's tables are: tables whose rows tell by `xmin` which transaction wrote them, and nothing else.

A foreign table, a view, a row filter or an inherited table would be read without an error and give wrong answers, so
each of them is refused by name. The argument: docs/guarantees.md, "Snapshots order everything".
"""

from dataclasses import dataclass

from lambda_pipeline.database import Connection
from lambda_pipeline.errors import SourceBusyError, SourceError
from lambda_pipeline.source.columns import REQUIRED, TABLES, USED

_OTHER_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a composite type",
}


@dataclass(frozen=True, slots=True)
class Relation:
    """One of HAPI's tables, or a partition of one.

    Attributes:
        table: name of HAPI's table.
        oid: identifies the relation; another table that is given the same name has another one.
        kind: `relkind` of PostgreSQL: `r` for a table, `p` for a partitioned one.
        columns: the columns of it that are read, sorted.
        readable: whether this role may read HAPI's table.
    """

    table: str
    oid: int
    kind: str
    columns: tuple[str, ...]
    readable: bool

    def __str__(self) -> str:
        """What identifies it, without the rights of a role; marks hold a digest of it, so it must not change."""
        return f"{self.table} {self.oid} {self.kind} {','.join(self.columns)}"


def read_relations(connection: Connection, schema: str) -> list[Relation]:
    """Read which relations HAPI's tables are, with all their partitions, by table and oid.

    Raises:
        SourceError: one of them is missing, is not a plain or partitioned table, is not logged, is inherited from, or
            has row-level security for this role.
        SourceBusyError: a partition is being attached.
    """
    rows = connection.execute(_RELATIONS, {"schema": schema, "tables": list(TABLES)}).fetchall()
    found = {table for table, *_ in rows}
    missing = [table for table in REQUIRED if table not in found]
    if missing:
        raise SourceError(
            f"HAPI's tables {', '.join(missing)} are missing in schema {schema}",
            hint="is HAPI_DB_URL the database of a HAPI FHIR JPA server, and LAMBDA_PIPELINE_HAPI_SCHEMA its schema?",
        )
    relations = []
    for table, name, oid, kind, persistence, inherited, secured, readable, columns in rows:
        if name is None:
            raise SourceBusyError(f"a partition of {table} is being attached", hint="ask again")
        fault = _find_fault(kind, persistence, inherited=inherited, secured=secured)
        if fault:
            subject = f"{schema}.{name}" if name == table else f"{name}, a partition of {schema}.{table},"
            raise SourceError(
                f"{subject} {fault}",
                hint="LAMBDA_PIPELINE_HAPI_SCHEMA in HAPI_DB_URL must hold the tables that HAPI itself writes",
            )
        relations.append(Relation(table, oid, kind, tuple(sorted(set(columns) & set(USED[table]))), readable))
    return relations


def _find_fault(kind: str, persistence: str, *, inherited: bool, secured: bool) -> str:
    """Why a relation cannot be read exactly; empty when it can."""
    if kind not in ("r", "p"):
        return f"is {_OTHER_KINDS.get(kind, 'not a table')}, which does not show when its rows were written"
    if persistence != "p":
        return "is not logged, so a crash of PostgreSQL empties it"
    if inherited:
        return "has other tables that inherit from it, whose rows would count as its own"
    if secured:
        return "has row-level security that hides rows from this role"
    return ""


# pg_partition_tree reads the newest catalog, as the planner does, and not the snapshot. It is empty for plain tables.
_RELATIONS = """
SELECT t.relname::text, c.relname::text, part.oid::bigint, c.relkind::text, c.relpersistence::text,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
       c.relkind IN ('r', 'p') AND row_security_active(c.oid),
       has_table_privilege(t.oid, 'SELECT'),
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_class t
  JOIN pg_namespace n ON n.oid = t.relnamespace
 CROSS JOIN LATERAL (SELECT t.oid UNION SELECT tree.relid FROM pg_partition_tree(t.oid) tree) part(oid)
  LEFT JOIN pg_class c ON c.oid = part.oid
 WHERE n.nspname = %(schema)s AND t.relname = ANY (%(tables)s) AND t.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
 ORDER BY t.relname, part.oid"""
