"""`report`: the operations report as one HTML page. What is on it: `operations/report`."""

from pathlib import Path

import click

from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.operations.report import collect_report, write_page


@click.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The page; a file of this name is replaced.",
)
def report(out: Path) -> None:
    """Write one page: freshness, overlay, refreshes, parity, quarantine, biggest views.

    One HTML file that loads nothing from elsewhere. It holds counts and ids of resources, and no value. Starts no
    server and changes nothing.
    """
    with opened(start=False) as deployment:
        write_page(collect_report(deployment), out)
    click.echo(f"wrote {out}", err=True)
