"""Which column of a view a resource fails on, and what is wrong there, in words without a value of the resource.

PostgreSQL does not say which expression of a statement failed. So the view is run again over that one resource with
fewer columns; resources that can be read cost nothing. How a resource is singled out stands in `flatten.py`.

The argument: docs/guarantees.md, "One bad resource stops only itself".
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.source.tables import ResourceRelation

MAX_PATH = 200
"""Characters of a path that a reason quotes."""

DATA_ERRORS = {
    "22P02": "a value is not valid for the type of its column, or the body is not JSON",
    "22P05": "a string holds a character that PostgreSQL cannot store",
    "22003": "a number is out of range for the type of its column",
    "22007": "a date or time is malformed or partial, and its column needs a complete one",
    "22008": "a date or time is out of range",
    "22023": "a value has another JSON type than its column or condition needs, or is not base64",
    "22030": "the body repeats a key",
    "21000": "a column that is not a collection has more than one value",
    "54000": "a value or a row is larger than PostgreSQL can store",
    "54001": "the body is nested too deeply",
}
_OF_COLUMN = {
    "22P02": "has a value that is not valid for its type",
    "22P05": "has a character that PostgreSQL cannot store",
    "22003": "has a number that is out of range for its type",
    "22007": "has a malformed or partial date or time, and needs a complete one",
    "22008": "has a date or time that is out of range",
    "22023": "has a value of another JSON type than FHIR's, or one that is not base64",
    "21000": "has more than one value",
    "54000": "has a value that is larger than PostgreSQL can store",
}


class _Column(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...


class BlamedView(Protocol):
    """What is known here of a view."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def columns(self) -> Sequence[_Column]:
        """Its columns in their order."""

    def select(self, relation: sql.Composable) -> sql.Composed:
        """The view over a relation of resources."""


class Blame:
    """Names the column of a view that a resource fails on.

    Args:
        connection: in a transaction; each attempt takes a savepoint.
        view: the view.
        first_columns: the view with only so many of its columns, and its conditions; None if there is no such view.
    """

    def __init__(
        self, connection: Connection, view: BlamedView, first_columns: Callable[[int], BlamedView | None]
    ) -> None:
        self._connection = connection
        self._view = view
        self._first_columns = first_columns
        self._last = 0

    def find(self, relation: ResourceRelation, sqlstate: str) -> tuple[str, str]:
        """What is wrong with a resource that the view fails on: a SQLSTATE and a sentence.

        Args:
            relation: of this resource alone.
            sqlstate: that the whole view failed with.
        """
        subject = f"view {self._view.name}"
        if self._fails(relation, 0):
            body = self._failure(relation, None)
            if body:
                return body, data_error_reason(body)
            return sqlstate, f"{subject}, its where: {data_error_reason(sqlstate)}"
        count = self._first_failing(relation)
        if count > len(self._view.columns):
            return sqlstate, f"{subject}: {data_error_reason(sqlstate)}"
        column = self._view.columns[count - 1]
        path = column.path if len(column.path) <= MAX_PATH else f"{column.path[:MAX_PATH]}..."
        found = self._failure(relation, self._first_columns(count)) or sqlstate
        what = _OF_COLUMN.get(found, data_error_reason(found))
        return found, f"{subject}, column {column.name} (path {path}): {what}"

    def _first_failing(self, relation: ResourceRelation) -> int:
        """The least number of columns that fails; one more than all if no number does."""
        # Resources that cannot be read are often wrong in the same way.
        if self._last and self._fails(relation, self._last) and not self._fails(relation, self._last - 1):
            return self._last
        numbers = range(1, len(self._view.columns) + 1)
        found = 1 + bisect_left(numbers, 1, key=lambda count: int(self._fails(relation, count)))
        self._last = found if found in numbers else 0
        return found

    def _fails(self, relation: ResourceRelation, count: int) -> bool:
        view = self._first_columns(count)
        return view is not None and bool(self._failure(relation, view))

    def _failure(self, relation: ResourceRelation, view: BlamedView | None) -> str:
        """The SQLSTATE that a view fails with, or the relation alone without one; empty if it does not fail."""
        query = (
            view.select(relation.query) if view else sql.SQL("SELECT * FROM ({}) AS resource").format(relation.query)
        )
        try:
            with self._connection.transaction():
                self._connection.execute(query, dict(relation.parameters))
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            return error.sqlstate or ""
        return ""


def is_data_error(error: psycopg.Error) -> bool:
    """Whether the error is caused by the data, and not by the server, the rights or the statement."""
    return (error.sqlstate or "")[:2] == "22" or error.sqlstate in DATA_ERRORS


def data_error_reason(sqlstate: str) -> str:
    """Describe a SQLSTATE; PostgreSQL's own message quotes the value, which may be patient data."""
    return DATA_ERRORS.get(sqlstate, f"a value cannot be converted (SQLSTATE {sqlstate})")
