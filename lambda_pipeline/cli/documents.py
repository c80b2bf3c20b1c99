"""Run a view over the resources of an NDJSON file: without HAPI and without a generation, only PostgreSQL is needed.

How files are read stands in `source/ndjson.py`, how documents become a relation in `source/documents.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import click
import psycopg

from lambda_pipeline.database import Connection, reason
from lambda_pipeline.errors import QueryFailedError
from lambda_pipeline.operations.view_examples import Row, select_rows
from lambda_pipeline.source.blame import Blame, is_data_error
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.source.ndjson import read_lines
from lambda_pipeline.source.tables import ResourceRelation
from lambda_pipeline.views import View
from lambda_pipeline.views.narrowing import first_columns

PAGE = 1_000
SHOWN_BAD_LINES = 100


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line whose resource has no rows because it cannot be read."""

    number: int
    reason: str


def echo_bad_lines(lines: Sequence[str]) -> None:
    """Name lines that were left out on standard error, the first hundred of them."""
    for line in lines[:SHOWN_BAD_LINES]:
        click.echo(line, err=True)
    if len(lines) > SHOWN_BAD_LINES:
        click.echo(f"and {len(lines) - SHOWN_BAD_LINES:,} more lines", err=True)


def run(connection: Connection, view: View, path: Path) -> tuple[list[Row], list[BadLine]]:
    """Run a view over an NDJSON file, plain or gzipped: its rows in their order, and the lines that cannot be read.

    Resources of other types have no rows. One bad line does not fail the others.

    Raises:
        BadDataError: the file cannot be read to its end.
        QueryFailedError: PostgreSQL failed for another reason than the data.
    """
    rows: list[Row] = []
    bad: list[BadLine] = []
    lines = read_lines(path)
    blame = Blame(connection, view, partial(first_columns, view))
    while read := list(islice(lines, PAGE)):
        problems = {line.number: _find_problem(line.text) for line in read}
        bad += [BadLine(number, problem) for number, problem in problems.items() if problem]
        page = [line for line in read if not problems[line.number]]
        try:
            rows += select_rows(connection, view, [line.text for line in page])
        except psycopg.Error as error:
            if not is_data_error(error):
                raise QueryFailedError(reason(error)) from None
            for line in page:
                try:
                    rows += select_rows(connection, view, [line.text])
                except psycopg.Error as line_error:
                    if not is_data_error(line_error):
                        raise QueryFailedError(reason(line_error)) from None
                    alone = ResourceRelation(documents_relation(view.resource), {"documents": [line.text]})
                    bad.append(BadLine(line.number, blame.find(alone, line_error.sqlstate or "")[1]))
    return rows, sorted(bad, key=lambda line: line.number)


def _find_problem(text: str | None) -> str:
    """Why a line is no resource; empty if it may be one."""
    if text is None:
        return "is not UTF-8"
    try:
        resource = json.loads(text)
    except RecursionError:
        return "is nested too deeply"
    except ValueError:
        return "is not JSON: NDJSON has one resource per line"
    return "" if isinstance(resource, dict) else "is not a JSON object: NDJSON has one resource per line"
