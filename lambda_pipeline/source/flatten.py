"""Run a view over part of the source so that one bad resource never fails the others.

A set-based statement aborts at the first bad value. So it runs chunk by chunk, each in a savepoint; a chunk that
fails with a data error is halved until single resources remain, and those are reported instead of raised. Build,
refresh and poll all come through here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from lambda_pipeline.database import Connection
from lambda_pipeline.source.tables import Body, HapiTables, ResourceRange, ResourceRelation, Unreadable

Item = TypeVar("Item")

Write = Callable[[ResourceRelation], int]
"""Runs the view over a relation and keeps the rows; returns their number. Called inside a savepoint."""

DATA_ERRORS = {
    "22P02": "a value is not valid for the type of its column, or the body is not JSON",
    "22P05": "a string holds a character that PostgreSQL cannot store",
    "22003": "a number is out of range for the type of its column",
    "22007": "a date or time is malformed or partial, and its column wants a whole one",
    "22008": "a date or time is out of range",
    "22023": "a value has another JSON type than its column or condition wants, or is not base64",
    "22030": "the body repeats a key",
    "21000": "a column that is no collection has more than one value",
    "54001": "the body is nested too deeply",
}


@dataclass(frozen=True, slots=True)
class Flattened:
    """What came of running a view: rows kept, and the resources that could not be read."""

    rows: int
    unreadable: tuple[Unreadable, ...]


def flatten(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    scope: ResourceRange,
    write: Write,
    *,
    complete: bool,
) -> Flattened:
    """Run `write` over the living resources in `scope`.

    Args:
        connection: in a transaction; each attempt takes a savepoint.
        tables: HAPI's tables.
        resource_type: of the resources.
        scope: which of them.
        write: runs something over a relation of resources and keeps the outcome.
        complete: whether bodies need `id` and `meta` (`View.complete_body`).
    """
    bodies, unreadable = tables.exceptions(connection, resource_type, scope)
    rows, failed = _stored(connection, tables, resource_type, scope, write, complete=complete)
    given_rows, given_failed = _given(connection, tables, resource_type, bodies, write, complete=complete)
    return Flattened(rows + given_rows, (*unreadable, *failed, *given_failed))


def _stored(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    scope: ResourceRange,
    write: Write,
    *,
    complete: bool,
) -> tuple[int, list[Unreadable]]:
    def attempt(part: ResourceRange) -> int:
        return write(tables.stored(resource_type, part, complete=complete))

    try:
        return _in_savepoint(connection, lambda: attempt(scope)), []
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
    members = tables.members(connection, resource_type, scope)
    middle = len(members) // 2
    rows = 0
    unreadable: list[Unreadable] = []
    for half in filter(None, (members[:middle], members[middle:])):
        for kept, offenders in _halve(
            connection, half, lambda part: attempt(ResourceRange(res_ids=tuple(member.res_id for member in part)))
        ):
            rows += kept
            unreadable += [
                Unreadable(member.res_id, member.key, member.version, state, data_error_reason(state))
                for member, state in offenders
            ]
    return rows, unreadable


def _given(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    bodies: Sequence[Body],
    write: Write,
    *,
    complete: bool,
) -> tuple[int, list[Unreadable]]:
    def attempt(part: Sequence[Body]) -> int:
        return write(tables.given(resource_type, part, complete=complete))

    rows = 0
    unreadable: list[Unreadable] = []
    for kept, offenders in _halve(connection, bodies, attempt) if bodies else ():
        rows += kept
        unreadable += [
            Unreadable(body.res_id, body.key, body.version, state, data_error_reason(state))
            for body, state in offenders
        ]
    return rows, unreadable


def _halve(
    connection: Connection, items: Sequence[Item], attempt: Callable[[Sequence[Item]], int]
) -> Iterator[tuple[int, list[tuple[Item, str]]]]:
    """Attempt all; on a data error attempt both halves; yields rows kept and the single items that failed."""
    try:
        yield _in_savepoint(connection, lambda: attempt(items)), []
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
        if len(items) == 1:
            yield 0, [(items[0], error.sqlstate or "")]
            return
        middle = len(items) // 2
        yield from _halve(connection, items[:middle], attempt)
        yield from _halve(connection, items[middle:], attempt)


def _in_savepoint(connection: Connection, action: Callable[[], int]) -> int:
    with connection.transaction():
        return action()


def is_data_error(error: psycopg.Error) -> bool:
    """Whether the data is to blame, and not server, rights or statement."""
    return (error.sqlstate or "")[:2] == "22" or error.sqlstate in DATA_ERRORS


def data_error_reason(sqlstate: str) -> str:
    """What a SQLSTATE means here; PostgreSQL's own message quotes the value, which may be patient data."""
    return DATA_ERRORS.get(sqlstate, f"a value cannot be converted (SQLSTATE {sqlstate})")
