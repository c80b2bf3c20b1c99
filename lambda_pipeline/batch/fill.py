"""Fill a table with a view's rows: for a full build, for the changed resources of a refresh, for a recompute.

Builds, refreshes and answers in mode `source` come through here, so that they agree: docs/guarantees.md, "One compiler,
two layers". How one bad resource is isolated stands in `source/flatten.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.progress import Progress
from lambda_pipeline.database import Connection
from lambda_pipeline.source import Flattened, HapiTables, ResourceRange, ResourceRelation, Unreadable, flatten
from lambda_pipeline.views.view import View


@dataclass(frozen=True, slots=True)
class Filler:
    """Runs views over HAPI's tables and stores their rows in tables, inside one transaction.

    Attributes:
        connection: in the snapshot that the rows are of.
        tables: HAPI's tables in that snapshot.
        chunk_rows: resources flattened in one statement.
    """

    connection: Connection
    tables: HapiTables
    chunk_rows: int

    def fill(self, view: View, table: sql.Identifier, *, what: str) -> Flattened:
        """Store the rows of all living resources of the view's type.

        Args:
            view: the view.
            table: its empty table.
            what: what is being done, for the log, such as `full build`.
        """
        chunks = self.tables.chunks(self.connection, view.resource, self.chunk_rows)
        progress = Progress(f"{view.name}: {what}", sum(count for _, count in chunks))
        rows = 0
        unreadable: list[Unreadable] = []
        for resources, count in chunks:
            part = self._flatten(view, table, resources)
            rows += part.rows
            unreadable += part.unreadable
            progress.advance(count)
        return Flattened(rows, tuple(unreadable))

    def fill_resources(self, view: View, table: sql.Identifier, res_ids: Sequence[int]) -> Flattened:
        """Store the rows of these resources only."""
        rows = 0
        unreadable: list[Unreadable] = []
        for start in range(0, len(res_ids), self.chunk_rows):
            part = self._flatten(view, table, ResourceRange(res_ids=tuple(res_ids[start : start + self.chunk_rows])))
            rows += part.rows
            unreadable += part.unreadable
        return Flattened(rows, tuple(unreadable))

    def _flatten(self, view: View, table: sql.Identifier, resources: ResourceRange) -> Flattened:
        def write(relation: ResourceRelation) -> int:
            return view_tables.insert(self.connection, view, table, relation)

        return flatten(self.connection, self.tables, view.resource, resources, write, complete=view.complete_body)
