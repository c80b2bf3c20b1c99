"""`views`: what an author of view definitions works with."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from lambda_pipeline.batch.view_status import drop_retired, view_statuses
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.cli.documents import echo_bad_lines, run
from lambda_pipeline.cli.question_options import format_option
from lambda_pipeline.cli.status import views_table
from lambda_pipeline.cli.view_pages import print_scaffold, write_dictionary
from lambda_pipeline.database import Database
from lambda_pipeline.development import embedded
from lambda_pipeline.errors import Problem, ViewDefinitionError
from lambda_pipeline.operations.view_tests import TestOutcome, has_data_tests, run_examples, run_tests
from lambda_pipeline.serving import Answer
from lambda_pipeline.serving.export import StreamFormat, stream
from lambda_pipeline.serving.results import plain_rows
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import View, compile_view, find_warnings, lint
from lambda_pipeline.views.tests_reader import SUFFIX, tests_file, with_tests

Definition = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def views() -> None:
    """Check, show, run, test, list and drop view definitions."""


views.add_command(write_dictionary)
views.add_command(print_scaffold)


@views.command("lint")
@click.argument("files", nargs=-1, required=True, type=Definition)
@click.pass_context
def lint_files(ctx: click.Context, files: Sequence[Path]) -> None:
    """List every problem of FILES, each with its JSON path, the reason and a hint.

    Exits with 1 if there is a problem. Warnings name columns whose path can give several values; they change no code.
    """
    problems = [problem for file in files for problem in _find_problems(file)]
    for file in files:
        for warning in _find_warnings(file):
            click.echo(f"warning: {warning}", err=True)
    for problem in problems:
        click.echo(str(problem))
    wrong = len({problem.file for problem in problems})
    click.echo(f"{len(files)} files, {len(problems)} problems in {wrong} of them", err=True)
    if problems:
        ctx.exit(1)


@views.command("sql")
@click.argument("file", type=Definition)
def show_sql(file: Path) -> None:
    """Print the SELECT that the ViewDefinition in FILE is compiled to.

    {{relation}} stands for the resources that it runs over.
    """
    view = _compile_file(file)
    click.echo(f"-- view {view.name} over {view.resource}, digest {view.digest}")
    if view.description:
        click.echo("-- " + " ".join(view.description.split()))
    click.echo("--")
    width = max(len(column.name) for column in view.columns)
    for column in view.columns:
        described = f"  {' '.join(column.description.split())}" if column.description else ""
        click.echo(f"--   {column.name:<{width}}  {column.type}{described}")
    click.echo(view.statement.rstrip())


@views.command("run")
@click.argument("file", type=Definition)
@click.option("--ndjson", "data", required=True, type=Definition, metavar="DATA", help="Resources, plain or gzipped.")
@format_option()
@click.pass_context
def run_over_file(ctx: click.Context, file: Path, *, data: Path, format_: StreamFormat) -> None:
    """Print the rows of the ViewDefinition in FILE over the resources of an NDJSON file.

    Runs in the embedded PostgreSQL, even if HAPI_DB_URL is set, and leaves nothing there. Resources that cannot be read
    are named on standard error, the others have their rows all the same; the exit code is then 1.
    """
    view = _compile_file(file)
    database = Database(embedded.start(load_settings().home, redis=False).postgres_url)
    try:
        with database.connect() as connection:
            rows, bad = run(connection, view, data)
    finally:
        database.close()
    echo_bad_lines([f"{data.name} line {line.number}: {line.reason}" for line in bad])
    click.echo(f"{len(rows):,} rows", err=True)
    stream(_make_answer(view, rows, data.name), format_, sys.stdout)
    if bad:
        ctx.exit(1)


@views.command("test")
@click.argument("files", nargs=-1, type=Definition)
@click.option("--examples", "examples_only", is_flag=True, help="Run the examples alone, in the embedded PostgreSQL.")
@click.pass_context
def test_files(ctx: click.Context, files: Sequence[Path], *, examples_only: bool) -> None:
    """Run the tests of the ViewDefinitions in FILES, or of all that are deployed: those in x.tests.yaml beside x.json.

    Examples need no published data; the other tests read the published generation, in one snapshot. A failure names
    file, test, offending rows and the first resources. Exits with 1 if a test failed or could not run.
    """
    read = _read_with_tests(files or sorted(load_settings().view_definitions.glob("*.json")))
    untested = [view.name for view in read if view.tests is None]
    outcomes = _run_examples(read) if examples_only or not any(map(has_data_tests, read)) else _run_tests(read)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in outcomes:
        click.echo(str(outcome))
    without = f"; no tests: {', '.join(untested)}" if untested else ""
    click.echo(f"{len(outcomes)} tests, {len(failed)} failed{without}", err=True)
    if failed:
        ctx.exit(1)


@views.command("list")
def list_views() -> None:
    """List all views: what the published generation holds of them, and whether their files still agree."""
    with opened() as deployment, deployment.database.connect() as connection:
        statuses = view_statuses(connection, deployment.views, deployment.broken)
    click.echo(views_table(statuses))


@views.command("drop")
@click.argument("name")
def drop(name: str) -> None:
    """Drop the tables of view NAME, whose file was removed and which no published generation holds any more."""
    with opened() as deployment:
        dropped = drop_retired(deployment.database, name, deployment.views)
    click.echo(f"dropped {', '.join(dropped)}")


def _run_tests(read: Sequence[View]) -> list[TestOutcome]:
    with opened() as deployment:
        return run_tests(deployment.database, read)


def _run_examples(read: Sequence[View]) -> list[TestOutcome]:
    if not any(view.tests and view.tests.examples for view in read):
        return []
    database = Database(embedded.start(load_settings().home, redis=False).postgres_url)
    try:
        with database.connect() as connection:
            return run_examples(connection, read)
    finally:
        database.close()


def _read_with_tests(files: Sequence[Path]) -> list[View]:
    """The views of these files with their tests; a file of tests stands for the definition beside it.

    Raises:
        ViewDefinitionError: lists everything that is wrong with any of the files.
    """
    definitions = dict.fromkeys(
        file.with_name(f"{file.name.removesuffix(SUFFIX)}.json") if file.name.endswith(SUFFIX) else file
        for file in files
    )
    found = [with_tests(_compile_file(file, file.name), tests_file(file)) for file in definitions]
    if problems := [problem for _, of_tests in found for problem in of_tests]:
        raise ViewDefinitionError(problems)
    return [view for view, _ in found]


def _find_problems(file: Path) -> list[Problem]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return [Problem(str(file), "$", "is not UTF-8")]
    except OSError as error:
        return [Problem(str(file), "$", f"cannot be read: {error.strerror}")]
    problems = lint(text, str(file))
    if problems or not tests_file(file).exists():
        return problems
    return with_tests(_compile(text, str(file)), tests_file(file))[1]


def _find_warnings(file: Path) -> list[Problem]:
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    if lint(text, str(file)) or not tests_file(file).exists():
        return find_warnings(text, str(file))
    return list(with_tests(_compile(text, str(file)), tests_file(file))[0].warnings)


def _compile(text: str, file: str) -> View:
    return compile_view(json.loads(text, parse_float=Decimal), file=file)


def _compile_file(file: Path, name: str = "") -> View:
    """The view of one file.

    Args:
        file: of the definition.
        name: what the view calls it; its path without one.

    Raises:
        ViewDefinitionError: lists everything that is wrong with it.
    """
    problems = _find_problems(file)
    if problems:
        raise ViewDefinitionError(problems)
    return _compile(file.read_text(encoding="utf-8-sig"), name or str(file))


def _make_answer(view: View, rows: Sequence[Sequence[object]], source: str) -> Answer:
    return Answer(
        rows=plain_rows(rows, view.columns),
        columns=view.columns,
        row_count=len(rows),
        valid_as_of=datetime.now(UTC),
        generation=None,
        mode="source",
        sources=(source,),
    )
