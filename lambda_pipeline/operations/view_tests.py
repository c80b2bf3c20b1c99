"""Run the tests of views: those of data over the published generation, in one snapshot, and the examples.

What a file of tests may contain stands in `views/view_tests.py`. A test reads the rows of the batch layer; that served
rows are right is the subject of `parity.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import Generation, PublishedView, published
from lambda_pipeline.database import Connection, Database, fetch_one, reason, repeatable_read
from lambda_pipeline.operations.view_examples import differences
from lambda_pipeline.serving.statement import errors_of_queries
from lambda_pipeline.views import View
from lambda_pipeline.views.tests_reader import NUMBER_TYPES, SUFFIX
from lambda_pipeline.views.view_tests import TestCase, ViewTests

NAMED = 5
"""Resources that a failure names."""


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What one test found.

    Attributes:
        view: name of the view.
        file: of the tests.
        test: name of the test: `unique_id`, `example a dead patient` ...
        rows: number of offending rows; for `row_count` by how many rows the view differs.
        resources: keys of the first resources with such rows, such as `Patient/123`; at most `NAMED`.
        problem: what is wrong where rows alone do not say it, or why the test could not run; holds no value.
    """

    view: str
    file: str
    test: str
    rows: int = 0
    resources: tuple[str, ...] = ()
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the test ran and found nothing."""
        return not self.rows and not self.problem

    def __str__(self) -> str:
        if self.passed:
            return f"{self.file}: {self.test}: passed"
        found = [f"{self.rows:,} rows"] if self.rows else []
        found += [self.problem] if self.problem else []
        found += [", ".join(self.resources)] if self.resources else []
        return f"{self.file}: {self.test}: failed: {': '.join(found)}"


def run_tests(database: Database, views: Sequence[View]) -> list[TestOutcome]:
    """Run all tests of these views, in the order of their files.

    Args:
        database: HAPI's database.
        views: those without tests are left out.

    Raises:
        HapiUnavailableError: the database cannot be reached.
        QueryFailedError: PostgreSQL ended a statement for another reason than the test.
        GenerationUnreadableError: what is recorded of the generation is not what a refresh writes.
    """
    with errors_of_queries(), database.connect() as connection, repeatable_read(connection):
        generation = published(connection)
        before = published(connection, below=generation.number) if generation else None
        found = _Published(connection, generation, before)
        return [
            outcome
            for view in views
            if view.tests
            for outcome in (*found.run(view, view.tests), *_examples(connection, view, view.tests))
        ]


def run_examples(connection: Connection, views: Sequence[View]) -> list[TestOutcome]:
    """Run the examples of these views alone; the database need not hold anything.

    Raises:
        QueryFailedError: PostgreSQL failed for another reason than the resource of an example.
    """
    return [outcome for view in views if view.tests for outcome in _examples(connection, view, view.tests)]


def has_data_tests(view: View) -> bool:
    """Whether a view has tests that read published rows."""
    return view.tests is not None and any(case.kind != "examples" for case in view.tests.cases())


def file_of_tests(view: View) -> str:
    """Name of the file of a view's tests."""
    return f"{view.file.removesuffix('.json') or view.name}{SUFFIX}"


def _examples(connection: Connection, view: View, tests: ViewTests) -> Iterator[TestOutcome]:
    for example in tests.examples:
        rows, text = differences(connection, view, example)
        yield TestOutcome(view.name, file_of_tests(view), f"example {example.name}", rows, problem=text)


@dataclass(frozen=True, slots=True)
class _Published:
    """The published generation in one snapshot, and the one before it."""

    connection: Connection
    generation: Generation | None
    before: Generation | None

    def run(self, view: View, tests: ViewTests) -> Iterator[TestOutcome]:
        for case in tests.cases():
            if case.kind == "examples":
                continue
            rows, resources, problem = self._find(view, case)
            yield TestOutcome(view.name, file_of_tests(view), case.name, rows, resources, problem)

    def _find(self, view: View, case: TestCase) -> tuple[int, tuple[str, ...], str]:
        if self.generation is None:
            return 0, (), "not run: no generation has been published; lambda-pipeline refresh makes one"
        known = self.generation.views.get(view.name)
        if known is None:
            return 0, (), f"not run: generation {self.generation.number} does not hold the view"
        if case.kind == "row_count":
            return self._drift(known, case)
        missing = [*_missing(known, case.columns), *self._missing_other(case)]
        if missing:
            return 0, (), f"not run: {missing[0]}; the next refresh may publish it"
        try:
            with self.connection.transaction():
                return self._offending(known, case)
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            return 0, (), f"not run: {reason(error)}"

    def _missing_other(self, case: TestCase) -> Iterator[str]:
        if case.other is not None and self.generation is not None:
            other = self.generation.views.get(case.other.view)
            if other is None:
                yield f"the generation does not hold view {case.other.view}"
            else:
                yield from _missing(other, (case.other.column,))

    def _drift(self, known: PublishedView, case: TestCase) -> tuple[int, tuple[str, ...], str]:
        old = self.before.views.get(known.view.name) if self.before else None
        if old is None:
            return 0, (), ""
        change = abs(known.row_count - old.row_count)
        if change * 100 <= case.most * old.row_count:
            return 0, (), ""
        text = f"{known.row_count:,} rows now and {old.row_count:,} in the generation before, more than {case.most} %"
        return change, (), text

    def _offending(self, known: PublishedView, case: TestCase) -> tuple[int, tuple[str, ...], str]:
        statement = sql.SQL(_FOUND).format(offending=self._statement(known, case), named=sql.Literal(NAMED))
        values = [str(value).lower() if isinstance(value, bool) else str(value) for value in case.values]
        rows, ids = fetch_one(self.connection, statement, {"values": values})
        return rows, tuple(f"{known.view.resource}/{each}" for each in ids or ()), ""

    def _statement(self, known: PublishedView, case: TestCase) -> sql.Composed:
        """A SELECT of the resource ids of the rows that a test does not accept, one row for each."""
        columns = [sql.Identifier(column) for column in case.columns]
        parts = {"table": known.table, "column": columns[0], "columns": sql.SQL(", ").join(columns)}
        match case.kind:
            case "unique":
                complete = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(column) for column in columns)
                return sql.SQL(_UNIQUE).format(**parts, complete=complete)
            case "not_null":
                return sql.SQL("SELECT _id FROM {table} WHERE {column} IS NULL").format(**parts)
            case "accepted_values":
                types = {column.name: column.type for column in known.view.columns}
                return sql.SQL(_ACCEPTED).format(**parts, type=sql.SQL(_array_type(types[case.columns[0]])))
            case _:
                assert case.other is not None
                assert self.generation is not None
                other = self.generation.views[case.other.view].table
                return sql.SQL(_RELATED).format(**parts, other=other, to=sql.Identifier(case.other.column))


def _missing(known: PublishedView, columns: Sequence[str]) -> Iterator[str]:
    names = {column.name for column in known.view.columns}
    for column in columns:
        if column not in names:
            yield f"the published definition of {known.view.name} has no column {column}"


def _array_type(column_type: str) -> LiteralString:
    """The type of an array of accepted values: without length or scale, which would cut them to fit."""
    if column_type == "boolean":
        return "boolean[]"
    return "numeric[]" if column_type.startswith(NUMBER_TYPES) else "text[]"


_FOUND = """
WITH offending AS MATERIALIZED ({offending})
SELECT (SELECT count(*) FROM offending),
       (SELECT array_agg(_id ORDER BY _id)
          FROM (SELECT DISTINCT _id FROM offending ORDER BY _id LIMIT {named}) AS first_ones)"""

_UNIQUE = """
SELECT _id FROM (SELECT _id, count(*) OVER (PARTITION BY {columns}) AS times FROM {table} WHERE {complete}) AS counted
 WHERE times > 1"""

_ACCEPTED = """
SELECT _id FROM {table} WHERE {column} IS NOT NULL AND {column} <> ALL (%(values)s::text[]::{type})"""

_RELATED = """
SELECT t._id FROM {table} AS t
 WHERE t.{column} IS NOT NULL AND NOT EXISTS (SELECT FROM {other} AS o WHERE o.{to} = t.{column})"""
