"""`load`: FHIR files into the embedded demo source."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline.console import render
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.development import embedded
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.settings import load_settings

PROGRESS_S = 2.0


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
def load(files: Sequence[Path]) -> None:
    """Put FHIR FILES into the embedded source: NDJSON, bundles, single resources; also gzipped.

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
        loaded = load_files(demo, files, progress=_Progress())
    finally:
        database.close()
    rows = [[str(path), f"{count:,}"] for path, count in loaded.items()]
    click.echo(render(["file", "resources"], rows, right={1}, cell_width=100))


class _Progress:
    """Says how far a file is, at most every few seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, path: Path, count: int) -> None:
        if time.monotonic() - self._said >= PROGRESS_S:
            self._said = time.monotonic()
            click.echo(f"{path.name}: {count:,} resources", err=True)
