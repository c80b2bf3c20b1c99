"""`queries`: what an author of saved queries works with."""

from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline.console import render
from lambda_pipeline.queries import QueryFile, QueryFolder, read_queries
from lambda_pipeline.queries.folder import read_file, refuse_same_names
from lambda_pipeline.queries.lint import lint_queries
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import read_views

SavedFile = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def queries() -> None:
    """List and check saved queries."""


@queries.command("list")
def list_queries() -> None:
    """List the saved queries with their parameters; lambda-pipeline sql NAME asks one."""
    echo_queries(read_queries(load_settings().queries))


@queries.command("lint")
@click.argument("files", nargs=-1, type=SavedFile)
@click.pass_context
def lint_files(ctx: click.Context, files: Sequence[Path]) -> None:
    """List every problem of FILES, or of all saved queries, over the views as their files define them.

    Exits with 1 if there is a problem.
    """
    settings = load_settings()
    read = _read_files(files) if files else read_queries(settings.queries).files
    found = lint_queries(read, read_views(settings.view_definitions))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    for problem in found.problems:
        click.echo(str(problem))
    wrong = len({problem.file for problem in found.problems})
    click.echo(f"{len(read)} files, {len(found.problems)} problems in {wrong} of them", err=True)
    if found.problems:
        ctx.exit(1)


def echo_queries(folder: QueryFolder) -> None:
    """The queries as a table on standard output; files that cannot be asked as warnings."""
    rows = [
        [query.name, " ".join(map(str, query.parameters)), query.status if query.declared else "", query.title]
        for query in folder.queries
    ]
    click.echo(render(["name", "parameters", "status", "title"], rows, cell_width=60))
    for file in folder.files:
        for problem in file.problems:
            click.echo(f"warning: {problem}", err=True)


def _read_files(files: Sequence[Path]) -> tuple[QueryFile, ...]:
    # The same file named twice is one file.
    return refuse_same_names([read_file(path) for path in dict.fromkeys(path.resolve() for path in files)])
