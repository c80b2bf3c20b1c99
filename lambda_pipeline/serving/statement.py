"""Running one statement of a question: first its text is checked by PostgreSQL, then it runs.

PostgreSQL quotes what it cannot use. While it checks a text (parse analysis reads no row) it can only quote names of
the text, and is allowed to; while a statement runs it can quote values of patients, so that nothing of its own text
leaves this module: errors have words of ours, and no cause. Which SQL may run at all is decided in `sql`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from lambda_pipeline.database import Connection
from lambda_pipeline.errors import QueryFailedError
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


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a statement, and the driver's description of their columns."""

    rows: list[Row]
    description: Sequence[psycopg.Column]


def query_failed(error: psycopg.Error) -> QueryFailedError:
    """What is wrong with a statement of this project's own, such as one that reads a generation."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return _too_slow()
    return QueryFailedError(describe(error))


def run(
    connection: Connection, statement: sql.Composed, parameters: Mapping[str, Any], *, question: str = ""
) -> Result:
    """Run a statement and fetch all rows.

    Args:
        connection: in a transaction.
        statement: with `%(name)s` for each parameter.
        parameters: a value for each name.
        question: the part of it that the caller wrote, as `GuardedSelect.text`; checked before anything runs.

    Raises:
        QueryFailedError: PostgreSQL ended it; the error and its causes hold no text of PostgreSQL that quotes a value.
    """
    numbers: dict[str, int] = {}
    text = _number(statement.as_string(connection), numbers)
    values = [parameters[name] for name in numbers]
    failure = (
        _check(connection, text, values, _Question(_number(question, numbers), tuple(numbers))) if question else None
    )
    if failure is None:
        result = _execute(connection, text, values, tuple(numbers))
        if isinstance(result, Result):
            return result
        failure = result
    # Outside of every except clause: an error that is raised inside of one carries the driver's.
    raise failure


def _execute(
    connection: Connection, text: str, values: Sequence[Any], names: Sequence[str]
) -> Result | QueryFailedError:
    try:
        cursor = psycopg.RawCursor(connection).execute(text.encode(), values)
        return Result(cursor.fetchall(), cursor.description or ())
    except psycopg.errors.QueryCanceled:
        return _too_slow()
    except psycopg.OperationalError as error:
        # A lost connection or a full disk; without a SQLSTATE it is the driver's text about the connection.
        return QueryFailedError(words(error.sqlstate) if error.sqlstate else describe(error))
    except psycopg.Error as error:
        parameter = _named(error.diag.context, names)
        return QueryFailedError(
            f"parameter :{parameter}: {words(error.sqlstate)}" if parameter else words(error.sqlstate)
        )
    except (ValueError, ArithmeticError, RecursionError):
        return QueryFailedError("a value of the answer cannot be read", hint="take its text with ::text")


@dataclass(frozen=True, slots=True)
class _Question:
    """The part of a statement that the caller wrote, as it is sent, and the names of all parameters by number."""

    text: str
    names: tuple[str, ...]


def _check(connection: Connection, text: str, values: Sequence[Any], question: _Question) -> QueryFailedError | None:
    """Let PostgreSQL read the text without running it."""
    types = Transformer(connection)
    oids = [0 if value is None else types.get_dumper(value, PyFormat.AUTO).oid for value in values]
    result = connection.pgconn.prepare(b"", text.encode(), oids)
    if result.status == psycopg.pq.ExecStatus.COMMAND_OK:
        return None
    return _text_failed(error_from_result(result), text, question)


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
