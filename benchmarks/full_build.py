"""Full build per view, compared with parsing alone and with hand-written SQL."""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg import sql

from benchmarks.hand_written import PARSE_ONLY, hand_written
from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import best, milliseconds
from lambda_pipeline.database import Connection
from lambda_pipeline.source import HapiSource, ResourceRange, ResourceRelation, open_tables
from lambda_pipeline.views import View


def full_build(bench: Bench) -> Finding:
    """Measure every view over all resources of its type."""
    with bench.pipeline() as pipeline:
        generation = pipeline.refresh()
        with pipeline.database.connect() as connection:
            connection.execute("SET jit = off")
            connection.execute("SET work_mem = '64MB'")
            connection.execute("SET max_parallel_workers_per_gather = 0")
            rows = [
                _measure(connection, pipeline, view, milliseconds(generation.views[view.name].seconds))
                for view in pipeline.views
            ]
    return Finding(
        "full_build",
        "one view over all resources of its type, in one process, into an unlogged table",
        ("view", "resources", "rows", "parse only, ms", "compiled, ms", "by hand, ms", "whole build, ms",
         "speed to parse only, x", "time to by hand, x", "resources, /s"),
        rows,
        ("parse only: count(body::jsonb). by hand: benchmarks/hand_written.py, its rows compared with the view's.",
         "whole build: within a refresh, with quarantine, logged table, indexes and ANALYZE; measured once."),
    )  # fmt: skip


def _measure(connection: Connection, pipeline: Pipeline, view: View, build_ms: float) -> tuple[Value, ...]:
    tables = open_tables(connection, HapiSource.of(pipeline.settings), {view.resource})
    stored = tables.stored(view.resource, ResourceRange(), complete=view.complete_body)
    compiled = ResourceRelation(view.select(stored.query), stored.parameters)
    floor = ResourceRelation(sql.SQL(PARSE_ONLY), {"resource_type": view.resource})
    actions = {"floor": _count_action(connection, floor), "compiled": _build_action(connection, compiled)}
    statement = hand_written().get(view.name)
    if statement is not None:
        by_hand = ResourceRelation(statement, {"resource_type": view.resource})
        require_equal_rows(connection, view, compiled, by_hand)
        actions["by hand"] = _build_action(connection, by_hand)
    times = best(actions, pipeline.sizes.rounds)
    resources = _fetch_integer(connection, floor.query, floor.parameters)
    rows = _fetch_integer(
        connection, sql.SQL("SELECT count(*) FROM ({}) AS view").format(compiled.query), compiled.parameters
    )
    hand_s = times.get("by hand")
    return (
        view.name, resources, rows, milliseconds(times["floor"]), milliseconds(times["compiled"]),
        None if hand_s is None else milliseconds(hand_s), build_ms,
        times["floor"] / times["compiled"], None if hand_s is None else times["compiled"] / hand_s,
        resources / times["compiled"],
    )  # fmt: skip


def _count_action(connection: Connection, relation: ResourceRelation) -> Callable[[], object]:
    return lambda: _fetch_integer(connection, relation.query, relation.parameters)


def _build_action(connection: Connection, relation: ResourceRelation) -> Callable[[], object]:
    statement = sql.SQL("CREATE UNLOGGED TABLE flattened AS {}").format(relation.query)

    def run() -> None:
        connection.execute("DROP TABLE IF EXISTS flattened")
        connection.execute(statement, dict(relation.parameters))

    return run


def require_equal_rows(
    connection: Connection, view: View, compiled: ResourceRelation, by_hand: ResourceRelation
) -> None:
    """Compare all rows and columns of a view with those of another statement.

    Raises:
        AssertionError: they differ, so that comparing their times is meaningless.
    """
    names = ["_partition", "_id", "_version", *(column.name for column in view.columns)]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    for first, second in ((compiled, by_hand), (by_hand, compiled)):
        difference = sql.SQL(
            "SELECT count(*) FROM (SELECT {columns} FROM ({first}) AS first EXCEPT ALL"
            " SELECT {columns} FROM ({second}) AS second) AS difference"
        ).format(columns=columns, first=first.query, second=second.query)
        different = _fetch_integer(connection, difference, {**first.parameters, **second.parameters})
        if different:
            raise AssertionError(f"{view.name}: {different} rows differ between compiled and hand-written SQL")


def _fetch_integer(connection: Connection, query: sql.Composable, parameters: Mapping[str, Any]) -> int:
    row = connection.execute(sql.Composed([query]), dict(parameters)).fetchone()
    assert row is not None
    return int(row[0])
