"""Running one statement of a question: first its text is checked by PostgreSQL, then it runs.

PostgreSQL quotes what it cannot use. While it checks a text (parse analysis reads no row) it can only quote names of
the text, and is allowed to; while a statement runs it can quote values of patients, so that nothing of its own text
leaves this module: errors have words of ours, and no cause. Which SQL may run at all is decided in `sql`.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from lambda_pipeline.database import Connection
from lambda_pipeline.errors import AnswerTooLargeError, QueryFailedError
from lambda_pipeline.serving.parameters import check_temporal
from lambda_pipeline.serving.text_errors import AskedText, name_parameter, text_failed
from lambda_pipeline.sqlstate import describe, words

Row = tuple[Any, ...]

_PLACEHOLDER = re.compile(r"%(?:\((?P<name>[^)]*)\)s|%)")
_CHUNK = 100 if psycopg.pq.version() >= 170_000 else 1
"""Rows that the driver holds before they are counted; before version 17 libpq knows single rows only."""


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a statement, and the driver's description of their columns, which only a question has."""

    rows: list[Row]
    description: Sequence[psycopg.Column]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an answer may be: rows, and bytes of the texts in them, with 16 for any other value."""

    rows: int
    bytes: int


def query_failed(error: psycopg.Error) -> QueryFailedError:
    """What is wrong with a statement of this project's own, such as one that reads a generation."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return _too_slow()
    return QueryFailedError(describe(error))


@contextmanager
def errors_of_queries() -> Iterator[None]:
    """An error of PostgreSQL in the `with` block is raised by its meaning, and without the driver's text.

    Raises:
        QueryFailedError: PostgreSQL ended a statement.
    """
    try:
        yield
    except psycopg.Error as error:
        raise query_failed(error) from None


def run(
    connection: Connection,
    statement: sql.Composed,
    parameters: Mapping[str, Any],
    *,
    limits: Limits,
    question: str = "",
) -> Result:
    """Run a statement and fetch all rows.

    Args:
        connection: in a transaction.
        statement: with `%(name)s` for each parameter.
        parameters: a value for each name.
        limits: beyond them the statement is ended, before its rows fill the memory.
        question: the part of it that the caller wrote, as `GuardedSelect.text`; checked before anything runs.

    Raises:
        BadRequestError: a parameter is bound as a date or time, and is none.
        AnswerTooLargeError: it gives more than the limits allow.
        QueryFailedError: PostgreSQL ended it; the error and its causes hold no text of PostgreSQL that quotes a value.
    """
    numbers: dict[str, int] = {}
    text = _number(statement.as_string(connection), numbers)
    values = [parameters[name] for name in numbers]
    cursor = psycopg.RawCursor(connection)
    bound = dict(zip(numbers, values, strict=True))
    types = _check(cursor, text, AskedText(_number(question, numbers), bound)) if question else {}
    description = cursor.description or ()
    outcome = _fetch(cursor, text, values, _Parameters(tuple(numbers), types), limits)
    if isinstance(outcome, QueryFailedError):
        # Outside of every except clause: an error that is raised inside of one carries the driver's.
        raise outcome
    return Result(outcome, description)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The names of all parameters by number, and the types that PostgreSQL takes those of a question for."""

    names: tuple[str, ...]
    types: Mapping[str, str]

    def failed(self, error: psycopg.Error) -> QueryFailedError:
        """A value that could not be converted, with its parameter where PostgreSQL says which it was."""
        said = _ran(error)
        name = name_parameter(error.diag.context, self.names)
        if not name:
            return QueryFailedError(said)
        type_ = self.types.get(name)
        form = ", such as {a,b}" if type_ and type_.endswith("[]") else ""
        hint = f"the statement takes it for {type_}{form}" if type_ else ""
        return QueryFailedError(f"parameter :{name}: {said}", hint=hint)


def _fetch(
    cursor: psycopg.RawCursor[Row], text: str, values: Sequence[Any], parameters: _Parameters, limits: Limits
) -> list[Row] | QueryFailedError:
    try:
        return _collect(cursor, text, values, limits)
    except psycopg.errors.QueryCanceled:
        return _too_slow()
    except psycopg.Error as error:
        return parameters.failed(error)
    except MemoryError:
        return _too_large("the memory of this process", "BYTES")
    except (ValueError, ArithmeticError, RecursionError):
        return QueryFailedError("a value of the answer cannot be read", hint="take its text with ::text")


def _collect(cursor: psycopg.RawCursor[Row], text: str, values: Sequence[Any], limits: Limits) -> list[Row]:
    rows: list[Row] = []
    size = 0
    # Closed at once, so that a query that gives too much is ended.
    with closing(cast("Generator[Row]", cursor.stream(text.encode(), values, size=_CHUNK))) as stream:
        for row in stream:
            rows.append(row)
            size += sum(map(_size, row))
            if len(rows) > limits.rows:
                raise _too_large(f"{limits.rows:,} rows", "ROWS")
            if size > limits.bytes:
                raise _too_large(f"{limits.bytes:,} bytes", "BYTES")
    return rows


def _ran(error: psycopg.Error) -> str:
    # Without a SQLSTATE a connection was lost, which the driver describes, or a value does not fit into Python.
    return describe(error) if error.sqlstate is None else words(error.sqlstate)


def _size(value: object) -> int:
    match value:
        case str() | bytes():
            return len(value)
        case list() | tuple():
            return sum(map(_size, value))
        case dict():
            return sum(_size(key) + _size(item) for key, item in value.items())
        case _:
            return 16


def _too_large(what: str, setting: str) -> AnswerTooLargeError:
    hint = f"narrow it, ask for counts or with a limit, or raise LAMBDA_PIPELINE_ANSWER_MAX_{setting}"
    return AnswerTooLargeError(f"the answer is larger than {what}", hint=hint)


def _check(cursor: psycopg.RawCursor[Row], text: str, asked: AskedText) -> dict[str, str]:
    """Let PostgreSQL read the text without running it, and the cursor describe the columns that it will have.

    Returns:
        The type that PostgreSQL takes each parameter for.

    Raises:
        BadRequestError, QueryFailedError: as `run`.
    """
    dumpers = Transformer(cursor.connection)
    values = asked.parameters.values()
    oids = [0 if value is None else dumpers.get_dumper(value, PyFormat.AUTO).oid for value in values]
    server = cursor.connection.pgconn
    result = server.prepare(b"", text.encode(), oids)
    if result.status == psycopg.pq.ExecStatus.COMMAND_OK:
        result = server.describe_prepared(b"")
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        error = error_from_result(result)
        raise _too_slow() if isinstance(error, psycopg.errors.QueryCanceled) else text_failed(error, text, asked)
    types = {}
    for index, (name, value) in enumerate(asked.parameters.items()):
        oid = result.param_type(index)
        known = cursor.adapters.types.get(oid)
        check_temporal(name, value, known.name if known else "")
        if known:
            types[name] = f"{known.regtype}[]" if oid == known.array_oid else known.regtype
    cursor.pgresult = result
    return types


def _number(text: str, numbers: dict[str, int]) -> str:
    """`%(name)s` as `$1`, and `%%` as `%`: the text that is sent, so that positions in it are known."""

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PLACEHOLDER.sub(replace, text)


def _too_slow() -> QueryFailedError:
    return QueryFailedError("the query took too long", hint="narrow it, or raise LAMBDA_PIPELINE_QUERY_TIMEOUT_S")
