"""Examples of a view: its rows over single documents, compared with those that its file of tests expects.

Needs a PostgreSQL and nothing in it: no table of HAPI, no generation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.documents import json_text
from lambda_pipeline.serving.results import plain_rows
from lambda_pipeline.serving.statement import query_failed
from lambda_pipeline.source.blame import Blame, is_data_error
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.source.tables import ResourceRelation
from lambda_pipeline.views import View
from lambda_pipeline.views.narrowing import first_columns
from lambda_pipeline.views.view_tests import Example

Row = tuple[Any, ...]


def select_rows(connection: Connection, view: View, documents: Sequence[str | None]) -> list[Row]:
    """The rows of a view over JSON texts, one resource each.

    Raises:
        psycopg.Error: a data error where a resource cannot be read; nothing of the statement is left.
    """
    statement = sql.SQL("SELECT {} FROM ({}\n) AS answer").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in view.columns),
        view.select(documents_relation(view.resource)),
    )
    with connection.transaction():
        return connection.execute(statement, {"documents": list(documents)}).fetchall()


def differences(connection: Connection, view: View, example: Example) -> tuple[int, str]:
    """How many rows differ from those that an example expects, and what differs; 0 and no text if none does.

    The text names columns and counts, no value. A resource that cannot be read counts as one row.

    Raises:
        QueryFailedError: PostgreSQL failed for another reason than the resource.
    """
    document = json_text(example.resource)
    try:
        rows = select_rows(connection, view, [document])
    except psycopg.Error as error:
        if not is_data_error(error):
            raise query_failed(error) from None
        alone = ResourceRelation(documents_relation(view.resource), {"documents": [document]})
        blame = Blame(connection, view, partial(first_columns, view))
        return 1, f"the resource cannot be read: {blame.find(alone, error.sqlstate or '')[1]}"
    found = [dict(zip([column.name for column in view.columns], row, strict=True)) for row in plain(view, rows)]
    return _compare(example.rows, found)


def plain(view: View, rows: Sequence[Row]) -> list[Row]:
    """Rows as the plain values that files of tests have."""
    return [tuple(map(_plain, row)) for row in plain_rows(rows, view.columns)]


def _compare(expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    names = list(expected[0]) if expected else []
    wanted = Counter(_key(row, names) for row in expected)
    given = Counter(_key(row, names) for row in found)
    count = max((wanted - given).total(), (given - wanted).total())
    if not count:
        return 0, ""
    if len(expected) != len(found):
        return count, f"{len(expected)} rows are expected, and the view gives {len(found)}"
    columns = [
        name for name in names if Counter(_key(row, [name]) for row in expected) != Counter(
            _key(row, [name]) for row in found)
    ]  # fmt: skip
    return count, f"differs in {', '.join(columns)}" if columns else "values are in other rows"


def _key(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The named values as a text that is equal for equal values: 6.5 equals 6.50, and 1 is not true."""
    return repr([_comparable(row[name]) for name in names])


def _comparable(value: Any) -> Any:
    match value:
        case bool() | None:
            return value
        case int() | Decimal():
            return ("number", str(Decimal(value).normalize()))
        case Mapping():
            return sorted((key, _comparable(each)) for key, each in value.items())
        case list() | tuple():
            return [_comparable(each) for each in value]
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value
