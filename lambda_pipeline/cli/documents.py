"""A view over the resources of an NDJSON file: no HAPI, no generation, only PostgreSQL to run it in."""

import gzip
import json
import zlib
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
from lambda_pipeline.views import View

PAGE = 1_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; `number` counts from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line whose resource has no rows because it cannot be read."""

    number: int
    reason: str


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of an NDJSON file, plain or gzipped, without empty ones.

    Raises:
        BadDataError: it cannot be read, or a line is no JSON object.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield Line(number, _checked(path, number, text))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadDataError(f"{path.name} cannot be read: {error}") from None


def run(connection: Connection, view: View, lines: Iterator[Line]) -> tuple[list[Row], list[BadLine]]:
    """The rows of a view over these resources, in their order, and the lines that cannot be read.

    Resources of other types have no rows. One bad resource does not fail the others.

    Raises:
        QueryFailedError: PostgreSQL refused for another reason than the data.
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
                except psycopg.Error as one:
                    if not is_data_error(one):
                        raise QueryFailedError(reason(one)) from None
                    bad.append(BadLine(line.number, data_error_reason(one.sqlstate or "")))
    return rows, bad


def _rows(connection: Connection, view: View, lines: Sequence[Line]) -> list[Row]:
    statement = sql.SQL("SELECT {} FROM ({}\n) AS answer").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in view.columns),
        view.select(documents_relation(view.resource)),
    )
    with connection.transaction():
        return connection.execute(statement, {"documents": [line.text for line in lines]}).fetchall()


def _checked(path: Path, number: int, text: str) -> str:
    try:
        resource = json.loads(text)
    except (ValueError, RecursionError):
        raise BadDataError(f"{path.name} line {number}: is not JSON", hint="NDJSON has one resource per line") from None
    if not isinstance(resource, dict):
        raise BadDataError(f"{path.name} line {number}: is no JSON object", hint="NDJSON has one resource per line")
    return text
