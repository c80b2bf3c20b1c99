"""`load`: FHIR files into the embedded demo source."""

from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline.batch.progress import Progress
from lambda_pipeline.cli.documents import echo_bad_lines
from lambda_pipeline.cli.progress import progress_bars
from lambda_pipeline.console import render
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.development import embedded
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.settings import load_settings


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@click.pass_context
def load(ctx: click.Context, files: Sequence[Path]) -> None:
    """Put FHIR FILES into the embedded source: NDJSON, bundles, single resources; also gzipped.

    A resource with a known id is updated, as by a PUT. Lines of NDJSON that cannot be used are named on standard error,
    the others are loaded; the exit code is then 1. Never writes into a database that HAPI_DB_URL names.
    """
    settings = load_settings()
    if settings.hapi_db_url is not None:
        raise ConfigurationError(
            "HAPI_DB_URL is set, but files are loaded only into the embedded demo source",
            hint="send them to your HAPI server over REST, or unset HAPI_DB_URL",
        )
    progress = {path: Progress(path.name) for path in files}

    def report(path: Path, count: int) -> None:
        progress[path].advance(count - progress[path].done)

    database = Database(embedded.start(settings.home, redis=False).postgres_url)
    try:
        demo = DemoHapi(database)
        demo.install()
        with progress_bars():
            loaded = load_files(demo, files, progress=report)
    finally:
        database.close()
    rows = [[str(path), f"{found.resources:,}"] for path, found in loaded.items()]
    click.echo(render(["file", "resources"], rows, right={1}, cell_width=100))
    for path, found in loaded.items():
        if found.reads:
            click.echo(f"{path.name}: {found.reads:,} requests that only read were left out", err=True)
    bad = [line for found in loaded.values() for line in found.bad]
    echo_bad_lines(bad)
    if bad:
        ctx.exit(1)
