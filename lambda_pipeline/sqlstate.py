"""What an error of PostgreSQL means, in words that cannot hold a value of a resource.

PostgreSQL quotes the value that it cannot use, and not in one class of errors alone. So its own text is shown only
where it names servers, relations, columns or rights; everything else is described by its SQLSTATE. Words for the errors
that the body of a resource causes belong in `source.flatten`.
"""

from collections.abc import Mapping

import psycopg

_NAMING_CLASSES = frozenset({"08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58"})
"""Connections, transactions, logins, resources of the server, locks, operators and files."""
_NAMING = frozenset(
    {"42501", "42P01", "42P02", "42P06", "42P07", "42701", "42702", "42703", "42704", "42710", "42723", "42883"}
)
"""Rights, and relations, columns, types and functions that are missing, ambiguous or there already."""

_STATES: Mapping[str, str] = {
    "22P02": "a text cannot be converted to the type that the statement asks for",
    "22003": "a number is out of range for its type",
    "22007": "a text cannot be read as a date or time; a FHIR date may be a year alone",
    "22008": "a date or time is out of range",
    "22012": "division by zero",
    "2201B": "a regular expression is not valid",
    "21000": "a subquery that stands for one value gives several rows",
    "42501": "the role lacks a right that the statement needs",
    "42601": "a text cannot be read as what it is converted to",
    "53400": "it needs more temporary files or connections than its role may have",
    "54001": "the statement or a value is nested too deeply",
    "57014": "the query took too long",
}
_CLASSES: Mapping[str, str] = {
    "08": "the connection was lost",
    "0A": "PostgreSQL cannot do what is asked",
    "21": "a number of rows or values does not fit",
    "22": "a value does not fit what is done with it",
    "23": "a row breaks a constraint",
    "25": "the transaction does not allow it",
    "40": "the transaction was ended because of another one",
    "42": "a name, a type or a text is not what PostgreSQL expects",
    "53": "the server lacks space, memory or connections",
    "54": "a value or a statement is larger than PostgreSQL can hold",
    "55": "an object is locked or not ready",
    "57": "the server ended the statement",
    "58": "the server cannot read or write its files",
    "XX": "an internal error of PostgreSQL",
}


def describe(error: psycopg.Error) -> str:
    """What is wrong with a statement of this project: PostgreSQL's own words where they only name things."""
    state = error.sqlstate
    if state is None:
        return _describe_client(error)
    primary = error.diag.message_primary
    if primary and (state[:2] in _NAMING_CLASSES or state in _NAMING):
        return primary
    return words(state)


def words(sqlstate: str | None) -> str:
    """What a SQLSTATE means; the same for each error that has it."""
    if sqlstate is None:
        return "a value cannot be read"
    known = _STATES.get(sqlstate)
    return known or f"{_CLASSES.get(sqlstate[:2], 'PostgreSQL refused it')} (SQLSTATE {sqlstate})"


def _describe_client(error: psycopg.Error) -> str:
    """An error that the driver raises: about a connection, or about a value that Python cannot hold."""
    if isinstance(error, psycopg.DataError):
        return words(None)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
