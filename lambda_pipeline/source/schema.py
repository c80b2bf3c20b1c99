"""Which of HAPI's tables and columns exist in this database: HAPI's versions differ, and upgrades leave old shapes.

What is read from them stands in `tables.py`, `changes.py` and `inventory.py`; which relations they are, in
`relations.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.errors import SourceError
from lambda_pipeline.source.columns import REQUIRED
from lambda_pipeline.source.relations import read_relations


@dataclass(frozen=True, slots=True)
class HapiSchema:
    """Names and columns of HAPI's tables.

    Attributes:
        schema: the PostgreSQL schema that they are in.
        columns: names of the columns that are read, by table that exists.
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
    """Read which of HAPI's tables, and of the columns that are read, exist.

    Raises:
        SourceError: a table or column that is needed is missing, the role may not read it, or it cannot be read
            exactly: see `read_relations`.
        SourceBusyError: a partition is being attached.
    """
    relations = read_relations(connection, schema)
    found = {relation.table: frozenset(relation.columns) for relation in relations}
    unreadable = {relation.table for relation in relations if not relation.readable}
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
