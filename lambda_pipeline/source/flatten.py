"""Run a view over part of the source so that one bad resource does not fail the others.

One statement over many resources fails at the first bad value. So a view runs chunk by chunk, each in a savepoint; a
chunk that fails with a data error is halved until single resources remain, and those are reported instead of raised.
Full build, incremental refresh and poll all use this function, so they agree about what is unreadable.

The argument: docs/guarantees.md, "One bad resource stops only itself".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from lambda_pipeline.database import Connection
from lambda_pipeline.source.bodies import Body, Unreadable
from lambda_pipeline.source.keys import ResourceRange
from lambda_pipeline.source.tables import HapiTables, ResourceRelation

Item = TypeVar("Item")

Write = Callable[[ResourceRelation], int]
"""Runs the view over a relation and stores the rows; returns their number. Called inside a savepoint."""

DATA_ERRORS = {
    "22P02": "a value is not valid for the type of its column, or the body is not JSON",
    "22P05": "a string holds a character that PostgreSQL cannot store",
    "22003": "a number is out of range for the type of its column",
    "22007": "a date or time is malformed or partial, and its column needs a complete one",
    "22008": "a date or time is out of range",
    "22023": "a value has another JSON type than its column or condition needs, or is not base64",
    "22030": "the body repeats a key",
    "21000": "a column that is not a collection has more than one value",
    "54000": "a value or a row is larger than PostgreSQL can store",
    "54001": "the body is nested too deeply",
}


@dataclass(frozen=True, slots=True)
class Flattened:
    """Result of running a view: the number of rows stored, and the resources that cannot be read."""

    rows: int
    unreadable: tuple[Unreadable, ...]


def flatten(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    resources: ResourceRange,
    write: Write,
    *,
    complete: bool,
) -> Flattened:
    """Run `write` over the living resources in a range.

    Args:
        connection: in a transaction; each attempt takes a savepoint.
        tables: HAPI's tables.
        resource_type: type of the resources.
        resources: which of them.
        write: runs the view over a relation of resources and stores the rows.
        complete: whether bodies need `id` and `meta` (`View.complete_body`).
    """
    bodies, unreadable = tables.exceptions(connection, resource_type, resources)
    rows, failed = _stored(connection, tables, resource_type, resources, write, complete=complete)
    given_rows, given_failed = _given(connection, tables, resource_type, bodies, write, complete=complete)
    return Flattened(rows + given_rows, (*unreadable, *failed, *given_failed))


def _stored(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    resources: ResourceRange,
    write: Write,
    *,
    complete: bool,
) -> tuple[int, list[Unreadable]]:
    def attempt(part: ResourceRange) -> int:
        return write(tables.stored(resource_type, part, complete=complete))

    try:
        return _in_savepoint(connection, lambda: attempt(resources)), []
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
    members = tables.members(connection, resource_type, resources)
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
    """Attempt all; on a data error attempt both halves. Yields rows stored and the single items that failed."""
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
    """Whether the error is caused by the data, and not by the server, the rights or the statement."""
    return (error.sqlstate or "")[:2] == "22" or error.sqlstate in DATA_ERRORS


def data_error_reason(sqlstate: str) -> str:
    """Describe a SQLSTATE; PostgreSQL's own message quotes the value, which may be patient data."""
    return DATA_ERRORS.get(sqlstate, f"a value cannot be converted (SQLSTATE {sqlstate})")
