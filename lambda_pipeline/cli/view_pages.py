"""`views docs` and `views new`: the data dictionary, and a first ViewDefinition of a resource type."""

import json
from pathlib import Path

import click

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import read_views
from lambda_pipeline.views.dictionary import to_html, to_markdown
from lambda_pipeline.views.fhir_types import R4, VERSIONS
from lambda_pipeline.views.scaffold import scaffold


@click.command("docs")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the two files; it is made where it is missing.",
)
def write_dictionary(out: Path) -> None:
    """Write the data dictionary of the deployed definitions: DIR/views.html and DIR/views.md.

    Per view its description, columns with type, FHIR path and description, indexes and tests. Asks no server; equal
    definitions give equal files.
    """
    folder = read_views(load_settings().view_definitions)
    pages = {out / "views.html": to_html(folder), out / "views.md": to_markdown(folder)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, text in pages.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequestError(f"{out} cannot be written: {error.strerror}") from None
    for broken in folder.broken:
        click.echo(f"warning: left out: {broken}", err=True)
    click.echo(f"{len(folder.views)} views in {', '.join(map(str, pages))}", err=True)


@click.command("new")
@click.argument("resource_type", metavar="TYPE")
@click.option("--name", default="", help="Of the view; made from the type without it.")
@click.option(
    "--fhir",
    type=click.Choice([version.name for version in VERSIONS]),
    default=R4.name,
    show_default=True,
    help="Version of FHIR of the resources.",
)
def print_scaffold(resource_type: str, *, name: str, fhir: str) -> None:
    """Print a short ViewDefinition of resource type TYPE, as a start: keep what you need and describe it.

    \b
    lambda-pipeline views new Immunization > immunization.json
    """  # noqa: D301 (click wants the character \b)
    click.echo(json.dumps(scaffold(resource_type, name=name, version=fhir), indent=2))
