"""Full build per view: against parsing alone, and against hand-written SQL."""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg import sql

from benchmarks.hand_written import PARSE_ONLY, hand_written
from benchmarks.pipeline import Bench, Pipeline
from benchmarks.report import Finding, Value
from benchmarks.timing import best, milliseconds
from lambda_pipeline.database import Connection
from lambda_pipeline.source import ResourceRange, ResourceRelation, open_tables
from lambda_pipeline.views import View


def full_build(bench: Bench) -> Finding:
    """Every view over all resources of its type."""
    with bench.pipeline() as pipeline:
        generation = pipeline.refresh()
        with pipeline.database.connect() as connection:
            connection.execute("SET jit = off")
            connection.execute("SET work_mem = '64MB'")
            connection.execute("SET max_parallel_workers_per_gather = 0")
            rows = [
                _measured(connection, pipeline, view, milliseconds(generation.views[view.name].seconds))
                for view in pipeline.views
            ]
    return Finding(
        "full_build",
        "one view over all resources of its type, in one process, into an unlogged table",
        ("view", "resources", "rows", "parse only, ms", "compiled, ms", "by hand, ms", "whole build, ms",
         "speed to parse only, x", "time to by hand, x", "resources, /s"),
        rows,
        ("parse only: count(body::jsonb). by hand: benchmarks/hand_written.py, its rows compared with the view's.",
         "whole build: in a refresh, with quarantine, logged table, indexes and ANALYZE; one sample."),
    )  # fmt: skip


def _measured(connection: Connection, pipeline: Pipeline, view: View, build_ms: float) -> tuple[Value, ...]:
    tables = open_tables(connection, pipeline.settings.hapi_schema, pipeline.settings.source_timezone, {view.resource})
    stored = tables.stored(view.resource, ResourceRange(), complete=view.complete_body)
    compiled = ResourceRelation(view.select(stored.query), stored.parameters)
    floor = ResourceRelation(sql.SQL(PARSE_ONLY), {"resource_type": view.resource})
    actions = {"floor": _counted(connection, floor), "compiled": _flattened(connection, compiled)}
    statement = hand_written().get(view.name)
    if statement is not None:
        by_hand = ResourceRelation(statement, {"resource_type": view.resource})
        require_equal_rows(connection, view, compiled, by_hand)
        actions["by hand"] = _flattened(connection, by_hand)
    taken = best(actions, pipeline.sizes.rounds)
    resources = _one(connection, floor.query, floor.parameters)
    rows = _one(connection, sql.SQL("SELECT count(*) FROM ({}) AS view").format(compiled.query), compiled.parameters)
    hand_s = taken.get("by hand")
    return (
        view.name, resources, rows, milliseconds(taken["floor"]), milliseconds(taken["compiled"]),
        None if hand_s is None else milliseconds(hand_s), build_ms,
        taken["floor"] / taken["compiled"], None if hand_s is None else taken["compiled"] / hand_s,
        resources / taken["compiled"],
    )  # fmt: skip


def _counted(connection: Connection, relation: ResourceRelation) -> Callable[[], object]:
    return lambda: _one(connection, relation.query, relation.parameters)


def _flattened(connection: Connection, relation: ResourceRelation) -> Callable[[], object]:
    statement = sql.SQL("CREATE UNLOGGED TABLE flattened AS {}").format(relation.query)

    def run() -> None:
        connection.execute("DROP TABLE IF EXISTS flattened")
        connection.execute(statement, dict(relation.parameters))

    return run


def require_equal_rows(
    connection: Connection, view: View, compiled: ResourceRelation, by_hand: ResourceRelation
) -> None:
    """Compare all rows and columns of a view with what another statement gives.

    Raises:
        AssertionError: they differ, so that comparing their times would mean nothing.
    """
    names = ["_partition", "_id", "_version", *(column.name for column in view.columns)]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    for one, other in ((compiled, by_hand), (by_hand, compiled)):
        difference = sql.SQL(
            "SELECT count(*) FROM (SELECT {columns} FROM ({one}) AS one EXCEPT ALL"
            " SELECT {columns} FROM ({other}) AS other) AS difference"
        ).format(columns=columns, one=one.query, other=other.query)
        different = _one(connection, difference, {**one.parameters, **other.parameters})
        if different:
            raise AssertionError(f"{view.name}: {different} rows differ between compiled and hand-written SQL")


def _one(connection: Connection, query: sql.Composable, parameters: Mapping[str, Any]) -> int:
    row = connection.execute(sql.Composed([query]), dict(parameters)).fetchone()
    assert row is not None
    return int(row[0])
