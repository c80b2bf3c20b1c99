"""Frames keep every value of PostgreSQL as it is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.frames import to_frame
from lambda_pipeline.serving.results import columns_of, plain_rows
from lambda_pipeline.views.view import Column

EVERY_TYPE = """
    SELECT 'ä'::text AS text, 'x'::varchar(5) AS varchar, 1::smallint AS small, 2 AS integer,
           9223372036854775807 AS bigint, 7.50 AS numeric, 7.5::numeric(10,2) AS scaled, true AS boolean,
           timestamptz '2026-01-31T09:00:00.000001+01:00' AS timestamptz, timestamp '0001-01-01' AS timestamp,
           date '1066-10-14' AS date, time '08:30' AS time, '\\x00ff'::bytea AS bytea,
           '{"a": [1.10, "x", null]}'::jsonb AS jsonb, ARRAY['a', NULL] AS array, 1.5::float8 AS float,
           '00000000-0000-0000-0000-000000000001'::uuid AS uuid, count(*) AS count, sum(1::bigint) AS sum,
           NULL AS nothing
"""


@pytest.fixture(scope="module")
def connection(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    database = Database(postgres_url)
    with database.connect() as opened:
        yield opened
    database.close()


def python_values(frame: pd.DataFrame) -> list[list[Any]]:
    """A frame's values, column by column, as plain Python; a missing value is `None`."""
    return [[None if value is pd.NA or value is pd.NaT else value for value in frame[name].tolist()] for name in frame]


def test_every_type_comes_out_exact(connection: psycopg.Connection[Any]) -> None:
    cursor = connection.execute(EVERY_TYPE)
    columns = columns_of(cursor.description)
    types = {column.name: column.type for column in columns}
    assert types["scaled"] == "numeric(10,2)"
    assert (types["numeric"], types["count"], types["sum"], types["array"]) == (
        "numeric", "bigint", "numeric", "text[]",
    )  # fmt: skip
    rows = plain_rows([*cursor.fetchall(), (None,) * len(columns)], columns)
    frame = to_frame(rows, columns)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "text": "string", "varchar": "string", "small": "Int64", "integer": "Int64", "bigint": "Int64",
        "numeric": "object", "scaled": "object", "boolean": "boolean", "timestamptz": "datetime64[us, UTC]",
        "timestamp": "datetime64[us]", "date": "object", "time": "object", "bytea": "object", "jsonb": "object",
        "array": "object", "float": "Float64", "uuid": "string", "count": "Int64", "sum": "object", "nothing": "string",
    }  # fmt: skip
    first = {name: values[0] for name, values in zip(frame.columns, python_values(frame), strict=True)}
    assert first == {
        "text": "ä", "varchar": "x", "small": 1, "integer": 2, "bigint": 9223372036854775807,
        "numeric": Decimal("7.50"), "scaled": Decimal("7.50"), "boolean": True,
        "timestamptz": datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC), "timestamp": datetime(1, 1, 1),  # noqa: DTZ001
        "date": date(1066, 10, 14), "time": time(8, 30), "bytea": b"\x00\xff",
        "jsonb": {"a": [Decimal("1.10"), "x", None]}, "array": ["a", None], "float": 1.5,
        "uuid": "00000000-0000-0000-0000-000000000001", "count": 1, "sum": Decimal(1), "nothing": None,
    }  # fmt: skip
    assert list(first.values()) == list(rows[0])
    assert str(first["numeric"]) == "7.50"
    assert isinstance(first["jsonb"]["a"][0], Decimal)
    assert [values[1] for values in python_values(frame)] == [None] * len(columns)


def test_no_rows_keep_columns_and_types(connection: psycopg.Connection[Any]) -> None:
    cursor = connection.execute(EVERY_TYPE)
    columns = columns_of(cursor.description)
    assert to_frame([], columns).dtypes.equals(to_frame(cursor.fetchall(), columns).dtypes)


def test_rows_without_columns_are_still_counted() -> None:
    assert len(to_frame([(), ()], ())) == 2


def test_decimals_never_become_floats() -> None:
    column = Column("value", "numeric")
    digits = ["0.1000000000000000055511151231257827", "1E+3", "-0.00", "NaN"]
    frame = to_frame([(Decimal(text),) for text in digits], [column])
    assert [str(value) for value in python_values(frame)[0]] == digits


def test_big_integers_survive_a_missing_neighbour() -> None:
    column = Column("n", "bigint")
    frame = to_frame([(2**63 - 1,), (None,), (-(2**63),)], [column])
    assert python_values(frame) == [[2**63 - 1, None, -(2**63)]]
    assert frame["n"].isna().tolist() == [False, True, False]


def test_empty_text_and_missing_text_differ() -> None:
    frame = to_frame([("",), (None,)], [Column("t", "text")])
    assert frame["t"].tolist() == ["", pd.NA]


@pytest.mark.parametrize(
    ("statement", "said"),
    [("SELECT 1 AS a, 2 AS a", "called a"), ("SELECT age(now()) AS age", "interval"), ("SET a.b = 1", "no rows")],
)
def test_a_result_that_no_frame_can_hold_is_refused(
    connection: psycopg.Connection[Any], statement: str, said: str
) -> None:
    with pytest.raises(BadRequestError, match=said):
        columns_of(connection.execute(statement).description)  # type: ignore[arg-type]
