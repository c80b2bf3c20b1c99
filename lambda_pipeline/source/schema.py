"""Which of HAPI's tables and columns exist in this database: HAPI's versions differ, and upgrades leave old shapes.

What is read from them stands in `tables.py`, `changes.py` and `inventory.py`; which relations they are, in
`relations.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.errors import SourceError
from lambda_pipeline.source.columns import REQUIRED, TABLES


@dataclass(frozen=True, slots=True)
class HapiSchema:
    """Names and columns of HAPI's tables.

    Attributes:
        schema: the PostgreSQL schema that they are in.
        columns: names of the columns, by table that exists and may be read.
        unfilled_fhir_id: some rows have no `fhir_id` (a schema older than HAPI 7.0, or upgraded without HAPI's
            migrator): ids also come from `hfj_forced_id`, and two rows may have the same logical id.
    """

    schema: str
    columns: Mapping[str, frozenset[str]]
    unfilled_fhir_id: bool

    def table(self, name: str) -> sql.Identifier:
        """The qualified name of a table."""
        return sql.Identifier(self.schema, name)

    def has(self, table: str, column: str) -> bool:
        """Whether the table exists and has the column."""
        return column in self.columns.get(table, frozenset())

    @property
    def forced_ids(self) -> bool:
        """Whether logical ids must be looked up in `hfj_forced_id`."""
        return self.unfilled_fhir_id and self.has("hfj_forced_id", "forced_id")

    @property
    def provenance(self) -> bool:
        """Whether `meta.source` of old versions must be looked up in `hfj_res_ver_prov`.

        HAPI 8.0 and newer does so only when it is told to. Its tables show 8.4 or newer, by `res_type_id`.
        """
        return self.has("hfj_res_ver_prov", "res_ver_pid") and not self.has("hfj_resource", "res_type_id")


def read_schema(connection: Connection, schema: str) -> HapiSchema:
    """Read which columns HAPI's tables have, once `read_relations` has shown that they can be read exactly.

    Raises:
        SourceError: a column that is needed is missing, or the role may not read a table.
    """
    rows = connection.execute(_COLUMNS, {"schema": schema, "tables": list(TABLES)}).fetchall()
    found = {table: frozenset(columns) for table, columns, _ in rows}
    unreadable = {table for table, _, readable in rows if not readable}
    if "res_type_id" in found["hfj_resource"]:
        unreadable -= {"hfj_res_ver_prov"}  # HAPI 8.4 and newer does not read it
    if unreadable:
        raise SourceError(
            f"this role may not read {', '.join(sorted(unreadable))}", hint="GRANT SELECT; see sql/roles.sql"
        )
    lacking = [f"{table}.{name}" for table, names in REQUIRED.items() for name in names if name not in found[table]]
    if lacking:
        raise SourceError(f"HAPI's tables lack {', '.join(lacking)}", hint="HAPI 5.7 or newer is supported")
    return HapiSchema(schema, found, _unfilled_fhir_id(connection, schema, found))


def _unfilled_fhir_id(connection: Connection, schema: str, found: Mapping[str, frozenset[str]]) -> bool:
    if "fhir_id" not in found["hfj_resource"]:
        return True
    (unfilled,) = fetch_one(
        connection,
        sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE fhir_id IS NULL)").format(sql.Identifier(schema, "hfj_resource")),
    )
    return bool(unfilled)


_COLUMNS = """
SELECT c.relname::text, array_agg(a.attname::text), bool_and(has_table_privilege(c.oid, 'SELECT'))
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %(schema)s AND c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p')
 GROUP BY c.relname
"""
