"""Run a view over the resources of an NDJSON file: without HAPI and without a generation, only PostgreSQL is needed.

How files are read stands in `source/ndjson.py`, how documents become a relation in `source/documents.py`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection, reason
from lambda_pipeline.errors import BadDataError, QueryFailedError
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.source.flatten import data_error_reason, is_data_error
from lambda_pipeline.source.ndjson import Line, read_lines
from lambda_pipeline.views import View

PAGE = 1_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line whose resource has no rows because it cannot be read."""

    number: int
    reason: str


def lines_of(path: Path) -> Iterator[Line]:
    """Read the lines of an NDJSON file, plain or gzipped, without its empty lines.

    Raises:
        BadDataError: the file cannot be read, or a line is not a JSON object.
    """
    for line in read_lines(path):
        _check(f"{path.name} line {line.number}", line.text)
        yield line


def run(connection: Connection, view: View, lines: Iterator[Line]) -> tuple[list[Row], list[BadLine]]:
    """Run a view over these lines: its rows in their order, and the lines that cannot be read.

    Resources of other types have no rows. One bad resource does not fail the others.

    Raises:
        QueryFailedError: PostgreSQL failed for another reason than the data.
    """
    rows: list[Row] = []
    bad: list[BadLine] = []
    while page := list(islice(lines, PAGE)):
        try:
            rows += _rows(connection, view, page)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise QueryFailedError(reason(error)) from None
            for line in page:
                try:
                    rows += _rows(connection, view, [line])
                except psycopg.Error as line_error:
                    if not is_data_error(line_error):
                        raise QueryFailedError(reason(line_error)) from None
                    bad.append(BadLine(line.number, data_error_reason(line_error.sqlstate or "")))
    return rows, bad


def _rows(connection: Connection, view: View, lines: Sequence[Line]) -> list[Row]:
    statement = sql.SQL("SELECT {} FROM ({}\n) AS answer").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in view.columns),
        view.select(documents_relation(view.resource)),
    )
    with connection.transaction():
        return connection.execute(statement, {"documents": [line.text for line in lines]}).fetchall()


def _check(place: str, text: str) -> None:
    try:
        resource = json.loads(text)
    except (ValueError, RecursionError):
        raise BadDataError(f"{place}: is not JSON", hint="NDJSON has one resource per line") from None
    if not isinstance(resource, dict):
        raise BadDataError(f"{place}: is not a JSON object", hint="NDJSON has one resource per line")
