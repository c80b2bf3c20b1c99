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
from lambda_pipeline.sqlstate import describe, words

Row = tuple[Any, ...]

_PLACEHOLDER = re.compile(r"%(?:\((?P<name>[^)]*)\)s|%)")
_NUMBERED = re.compile(r"\$([0-9]+)")
_NAMES_ONLY = frozenset({
    "0A000", "42501", "42601", "42701", "42702", "42703", "42704", "42712", "42725", "42803", "42804", "42809", "42846",
    "42883", "42P01", "42P08", "42P10", "42P18", "42P19", "42P20", "42P21", "42P22",
})  # fmt: skip
"""What the check of a text says in PostgreSQL's words; they name relations, columns, functions and types."""
_SYNTAX_ERROR = "42601"
_UNKNOWN_OPERATOR = "42883"
_MOMENTS = ("timestamp", "date", "time ")
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
    outcome: list[Row] | QueryFailedError | None = None
    if question:
        outcome = _check(cursor, text, values, _Question(_number(question, numbers), tuple(numbers)))
    description = cursor.description or ()
    if outcome is None:
        outcome = _fetch(cursor, text, values, tuple(numbers), limits)
    if isinstance(outcome, QueryFailedError):
        # Outside of every except clause: an error that is raised inside of one carries the driver's.
        raise outcome
    return Result(outcome, description)


def _fetch(
    cursor: psycopg.RawCursor[Row], text: str, values: Sequence[Any], names: Sequence[str], limits: Limits
) -> list[Row] | QueryFailedError:
    try:
        return _collect(cursor, text, values, limits)
    except psycopg.errors.QueryCanceled:
        return _too_slow()
    except psycopg.Error as error:
        parameter = _named(error.diag.context, names)
        said = _ran(error)
        return QueryFailedError(f"parameter :{parameter}: {said}" if parameter else said)
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


@dataclass(frozen=True, slots=True)
class _Question:
    """The part of a statement that the caller wrote, as it is sent, and the names of all parameters by number."""

    text: str
    names: tuple[str, ...]


def _check(
    cursor: psycopg.RawCursor[Row], text: str, values: Sequence[Any], question: _Question
) -> QueryFailedError | None:
    """Let PostgreSQL read the text without running it, and the cursor describe the columns that it will have."""
    types = Transformer(cursor.connection)
    oids = [0 if value is None else types.get_dumper(value, PyFormat.AUTO).oid for value in values]
    server = cursor.connection.pgconn
    result = server.prepare(b"", text.encode(), oids)
    if result.status == psycopg.pq.ExecStatus.COMMAND_OK:
        result = server.describe_prepared(b"")
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        return _text_failed(error_from_result(result), text, question)
    for index, (name, value) in enumerate(zip(question.names, values, strict=True)):
        known = cursor.adapters.types.get(result.param_type(index))
        check_temporal(name, value, known.name if known else "")
    cursor.pgresult = result
    return None


def _text_failed(error: psycopg.Error, text: str, question: _Question) -> QueryFailedError:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return _too_slow()
    said = words(error.sqlstate)
    if error.sqlstate == _SYNTAX_ERROR:
        said = "a syntax error"
    elif error.sqlstate in _NAMES_ONLY:
        said = error.diag.message_primary or said
    hint = error.diag.message_hint or "" if error.sqlstate in _NAMES_ONLY else ""
    if error.sqlstate == _UNKNOWN_OPERATOR and "text" in said and any(moment in said for moment in _MOMENTS):
        hint = "dates and times of FHIR are text: convert them, as in effective_date_time::timestamptz"
    said = _NUMBERED.sub(lambda found: _parameter(found, question.names), said)
    return QueryFailedError(f"SQL{_place(error.diag.statement_position, text, question)}: {said}", hint=hint)


def _place(position: str | None, text: str, question: _Question) -> str:
    """Line and column in the text that the caller wrote, at most its end; empty where the position is before it."""
    if position is None:
        return ""
    offset = int(position) - 1
    start = text.rfind(question.text, 0, offset + len(question.text))
    if start < 0:
        return ""
    before = text[start : min(offset, start + len(question.text))]
    before = _NUMBERED.sub(lambda found: _parameter(found, question.names), before)
    line = before.count("\n") + 1
    return f", line {line}, column {len(before) - (before.rfind(chr(10)) + 1) + 1}"


def _parameter(found: re.Match[str], names: Sequence[str]) -> str:
    number = int(found[1])
    return f":{names[number - 1]}" if 0 < number <= len(names) else found[0]


def _named(context: str | None, names: Sequence[str]) -> str:
    """The parameter whose value PostgreSQL could not convert: `unnamed portal parameter $3 = ...`."""
    found = _NUMBERED.search(context or "")
    name = _parameter(found, names)[1:] if found else ""
    return name if name.isidentifier() else ""


def _number(text: str, numbers: dict[str, int]) -> str:
    """`%(name)s` as `$1`, and `%%` as `%`: the text that is sent, so that positions in it are known."""

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PLACEHOLDER.sub(replace, text)


def _too_slow() -> QueryFailedError:
    return QueryFailedError("the query took too long", hint="narrow it, or raise LAMBDA_PIPELINE_QUERY_TIMEOUT_S")
