"""Run a view over part of the source so that one bad resource does not fail the others.

One statement over many resources fails at the first bad value. So a view runs chunk by chunk, each in a savepoint; a
chunk that fails with a data error is halved until single resources remain, and those are reported instead of raised,
with the column that they fail on (`blame.py`). Full build, incremental refresh and poll all use this function, so they
agree about what is unreadable.

The argument: docs/guarantees.md, "One bad resource stops only itself".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from lambda_pipeline.database import Connection
from lambda_pipeline.source.blame import Blame, data_error_reason, is_data_error
from lambda_pipeline.source.bodies import Body, Unreadable
from lambda_pipeline.source.keys import ResourceRange
from lambda_pipeline.source.tables import HapiTables, ResourceRelation

Item = TypeVar("Item")

Write = Callable[[ResourceRelation], int]
"""Runs the view over a relation and stores the rows; returns their number. Called inside a savepoint."""


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
    blame: Blame | None = None,
) -> Flattened:
    """Run `write` over the living resources in a range.

    Args:
        connection: in a transaction; each attempt takes a savepoint.
        tables: HAPI's tables.
        resource_type: type of the resources.
        resources: which of them.
        write: runs the view over a relation of resources and stores the rows.
        complete: whether bodies need `id` and `meta` (`View.complete_body`).
        blame: finds the column that a resource fails on; without it, reasons name none.
    """
    bodies, unreadable = tables.exceptions(connection, resource_type, resources)
    rows, failed = _stored(connection, tables, resource_type, resources, write, complete=complete, blame=blame)
    given_rows, given_failed = _given(connection, tables, resource_type, bodies, write, complete=complete, blame=blame)
    return Flattened(rows + given_rows, (*unreadable, *failed, *given_failed))


def _stored(
    connection: Connection,
    tables: HapiTables,
    resource_type: str,
    resources: ResourceRange,
    write: Write,
    *,
    complete: bool,
    blame: Blame | None,
) -> tuple[int, list[Unreadable]]:
    def relation(part: ResourceRange) -> ResourceRelation:
        return tables.stored(resource_type, part, complete=complete)

    try:
        return _in_savepoint(connection, lambda: write(relation(resources))), []
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
    members = tables.members(connection, resource_type, resources)
    middle = len(members) // 2
    rows = 0
    unreadable: list[Unreadable] = []
    for half in filter(None, (members[:middle], members[middle:])):
        for kept, offenders in _halve(
            connection,
            half,
            lambda part: write(relation(ResourceRange(res_ids=tuple(member.res_id for member in part)))),
        ):
            rows += kept
            unreadable += [
                Unreadable(member.res_id, member.key, member.version, *_explain(alone, state, blame))
                for member, state in offenders
                for alone in (relation(ResourceRange(res_ids=(member.res_id,))),)
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
    blame: Blame | None,
) -> tuple[int, list[Unreadable]]:
    def relation(part: Sequence[Body]) -> ResourceRelation:
        return tables.given(resource_type, part, complete=complete)

    rows = 0
    unreadable: list[Unreadable] = []
    for kept, offenders in _halve(connection, bodies, lambda part: write(relation(part))) if bodies else ():
        rows += kept
        unreadable += [
            Unreadable(body.res_id, body.key, body.version, *_explain(relation([body]), state, blame))
            for body, state in offenders
        ]
    return rows, unreadable


def _explain(alone: ResourceRelation, sqlstate: str, blame: Blame | None) -> tuple[str, str]:
    """The SQLSTATE and the reason of a resource on which the view fails."""
    return blame.find(alone, sqlstate) if blame else (sqlstate, data_error_reason(sqlstate))


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
