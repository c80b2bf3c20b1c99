"""`load`: FHIR files into the embedded demo source."""

from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline import embedded
from lambda_pipeline.database import Database
from lambda_pipeline.demo.loading import load_files
from lambda_pipeline.demo.server import DemoHapi
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.serving.tables import render
from lambda_pipeline.settings import load_settings


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
def load(files: Sequence[Path]) -> None:
    """Put FHIR FILES into the embedded demo source: NDJSON, and bundles or single resources as JSON; also gzipped.

    A resource with a known id is updated, as by a PUT. Never writes into a database that HAPI_DB_URL names.
    """
    settings = load_settings()
    if settings.hapi_db_url is not None:
        raise ConfigurationError(
            "HAPI_DB_URL is set, and files are loaded into the embedded demo source only",
            hint="send them to your HAPI server over REST, or unset HAPI_DB_URL",
        )
    database = Database(embedded.start(settings.home, redis=False).postgres_url)
    try:
        demo = DemoHapi(database)
        demo.install()
        loaded = load_files(demo, files, progress=_progress)
    finally:
        database.close()
    rows = [[str(path), f"{count:,}"] for path, count in loaded.items()]
    click.echo(render(["file", "resources"], rows, right={1}, cell_width=100))


def _progress(path: Path, count: int) -> None:
    click.echo(f"{path.name}: {count:,} resources", err=True)
