"""Fill a table with a view's rows: for a full build, for the changed resources of a refresh, for a recompute.

Builds, refreshes and answers in mode `source` come through here, so that they agree: docs/guarantees.md, "One compiler,
two layers". How one bad resource is isolated stands in `source/flatten.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from lambda_pipeline.batch import view_tables
from lambda_pipeline.batch.progress import Progress
from lambda_pipeline.database import Connection
from lambda_pipeline.errors import RefreshError
from lambda_pipeline.source import Flattened, HapiTables, ResourceRange, ResourceRelation, Unreadable, flatten
from lambda_pipeline.source.blame import Blame
from lambda_pipeline.views.narrowing import first_columns
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
            part = self._flatten(view, table, resources, indexed=False)
            rows += part.rows
            unreadable += part.unreadable
            progress.advance(count)
        return Flattened(rows, tuple(unreadable))

    def fill_resources(self, view: View, table: sql.Identifier, res_ids: Sequence[int]) -> Flattened:
        """Store the rows of these resources only, in a table that has its indexes.

        Raises:
            RefreshError: a value is too large for an index; the indexes of a new table are chosen by its values.
        """
        rows = 0
        unreadable: list[Unreadable] = []
        for start in range(0, len(res_ids), self.chunk_rows):
            resources = ResourceRange(res_ids=tuple(res_ids[start : start + self.chunk_rows]))
            part = self._flatten(view, table, resources, indexed=True)
            rows += part.rows
            unreadable += part.unreadable
        return Flattened(rows, tuple(unreadable))

    def _flatten(self, view: View, table: sql.Identifier, resources: ResourceRange, *, indexed: bool) -> Flattened:
        def write(relation: ResourceRelation) -> int:
            try:
                return view_tables.insert(self.connection, view, table, relation)
            except psycopg.errors.ProgramLimitExceeded:
                if indexed:
                    raise RefreshError("a value is too large for an index of the view's table") from None
                raise

        blame = Blame(self.connection, view, partial(first_columns, view))
        return flatten(
            self.connection, self.tables, view.resource, resources, write, complete=view.complete_body, blame=blame
        )
