"""`queries`: what an author of saved queries works with."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline.console import render
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.queries import QueryFile, QueryFolder, read_queries
from lambda_pipeline.queries.dependencies import definitions_of
from lambda_pipeline.queries.folder import read_file, refuse_same_names
from lambda_pipeline.queries.library import build_library, library_text
from lambda_pipeline.queries.lint import lint_queries
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import read_views

SavedFile = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def queries() -> None:
    """List and check saved queries, and make FHIR Library resources of them."""


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
    folder = read_queries(settings.queries)
    read = _read_files(files) if files else folder.files
    found = lint_queries(read, read_views(settings.view_definitions), folder.queries)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    for problem in found.problems:
        click.echo(str(problem))
    wrong = len({problem.file for problem in found.problems})
    click.echo(f"{len(read)} files, {len(found.problems)} problems in {wrong} of them", err=True)
    if found.problems:
        ctx.exit(1)


@queries.command("build")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write NAME.json for each query, rather than to print one Library on a line.",
)
def build(out: Path | None) -> None:
    """Make a FHIR Library of the profile SQLQuery of each saved query; the same bytes each time.

    Nothing is written if one of them cannot be made.
    """
    settings = load_settings()
    folder = read_queries(settings.queries)
    if out is not None and out.resolve() == settings.queries.resolve():
        raise BadRequestError(f"{out} is the folder of the saved queries", hint="choose another one for --out")
    definitions = definitions_of(read_views(settings.view_definitions))
    made = [(file.name, build_library(file.require(), definitions, folder.queries)) for file in folder.files]
    if out is None:
        for _, library in made:
            click.echo(json.dumps(library, ensure_ascii=False, separators=(",", ":")))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, library in made:
            (out / f"{name}.json").write_bytes(library_text(library).encode())
    except OSError as error:
        raise BadRequestError(f"{out} cannot be written: {error.strerror}") from None
    click.echo(f"{len(made)} Library resources are in {out}", err=True)


def echo_queries(folder: QueryFolder) -> None:
    """The queries as a table on standard output; files that cannot be asked as warnings."""
    rows = [
        [
            query.name,
            "view" if query.is_view else "query",
            " ".join(map(str, query.parameters)),
            query.status if query.declared else "",
            query.title,
        ]
        for query in folder.queries
    ]
    click.echo(render(["name", "type", "parameters", "status", "title"], rows, cell_width=60))
    for file in folder.files:
        for problem in file.problems:
            click.echo(f"warning: {problem}", err=True)


def _read_files(files: Sequence[Path]) -> tuple[QueryFile, ...]:
    # The same file named twice is one file.
    return refuse_same_names([read_file(path) for path in dict.fromkeys(path.resolve() for path in files)])
