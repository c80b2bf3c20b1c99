"""What is wrong with the text of a question, in words of ours, with the place in the text that the caller wrote.

Only errors that PostgreSQL finds while it checks a text belong here: these can name what the text names, and nothing
of a patient. What fails while a statement runs belongs in `statement`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from lambda_pipeline.errors import BadRequestError, QueryFailedError
from lambda_pipeline.serving.sql.keywords import find_misspelt
from lambda_pipeline.serving.sql.tokens import tokens
from lambda_pipeline.sqlstate import words

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
class AskedText:
    """The part of a statement that the caller wrote, as it is sent, and the parameters of the whole by number."""

    text: str
    parameters: Mapping[str, Any]

    def restore(self, text: str) -> str:
        """A text as the caller wrote it: `:name` for `$1`."""
        return _NUMBERED.sub(lambda found: parameter(found, tuple(self.parameters)), text)


def text_failed(error: psycopg.Error, text: str, asked: AskedText) -> QueryFailedError:
    """What PostgreSQL says about a text that it cannot use.

    Args:
        error: it found while it checked the text.
        text: the whole statement, as it was sent.
        asked: the part that is the caller's.
    """
    said = asked.restore(_describe(error))
    offset = _find_offset(error.diag.statement_position, text, asked)
    hint = _find_hint(error, said, asked)
    if offset is None:
        return QueryFailedError(f"SQL: {said}", hint=hint)
    written = asked.restore(asked.text)
    if error.sqlstate == _SYNTAX_ERROR and (misspelt := _find_misspelt(written, offset)):
        offset, said, hint = misspelt
    line, column = written.count("\n", 0, offset) + 1, offset - (written.rfind("\n", 0, offset) + 1) + 1
    return QueryFailedError(f"SQL, line {line}, column {column}: {said}", hint=hint)


def name_parameter(context: str | None, names: Sequence[str]) -> str:
    """The parameter whose value PostgreSQL could not convert: `unnamed portal parameter $3 = ...`; else empty."""
    found = _NUMBERED.search(context or "")
    name = parameter(found, names)[1:] if found else ""
    return name if name.isidentifier() else ""


def parameter(found: re.Match[str], names: Sequence[str]) -> str:
    """`:name` for a `$1` that was found, or as it was where no parameter has this number."""
    number = int(found[1])
    return f":{names[number - 1]}" if 0 < number <= len(names) else found[0]


def _describe(error: psycopg.Error) -> str:
    said = words(error.sqlstate)
    if error.sqlstate == _SYNTAX_ERROR:
        return "a syntax error"
    return error.diag.message_primary or said if error.sqlstate in _NAMES_ONLY else said


def _find_hint(error: psycopg.Error, said: str, asked: AskedText) -> str:
    if error.sqlstate == _UNKNOWN_OPERATOR and "text" in said:
        if any(moment in said for moment in _MOMENTS):
            return "dates and times of FHIR are text: convert them, as in effective_date_time::timestamptz"
        no_texts = [f":{name}" for name, value in asked.parameters.items() if name.isidentifier() and _is_number(value)]
        if no_texts:
            return f"{', '.join(no_texts[:3])} is given as a number or boolean: give it as text, in quotes"
    return error.diag.message_hint or "" if error.sqlstate in _NAMES_ONLY else ""


def _is_number(value: object) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return first is not None and not isinstance(first, str)


def _find_offset(position: str | None, text: str, asked: AskedText) -> int | None:
    """The place in the text as the caller wrote it, at most its end; None where the position is before it."""
    if position is None:
        return None
    offset = int(position) - 1
    start = text.rfind(asked.text, 0, offset + len(asked.text))
    if start < 0:
        return None
    return len(asked.restore(text[start : min(offset, start + len(asked.text))]))


def _find_misspelt(written: str, offset: int) -> tuple[int, str, str] | None:
    try:
        found = find_misspelt(tokens(written), offset)
    except BadRequestError:
        return None
    if found is None:
        return None
    token, word = found
    return token.start, f"{token.text} cannot be read here", f"did you mean {word}?"
