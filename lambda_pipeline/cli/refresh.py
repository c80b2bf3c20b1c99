"""`refresh`: what Dagster's nightly schedule does, once. The work is in `batch/refresh.py`."""

import click

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.cli.parity import check_refreshed
from lambda_pipeline.console import render_values


@click.command()
@click.option("--full", is_flag=True, help="Build all views from the source, without use of the last generation.")
def refresh(*, full: bool) -> None:
    """Build or refresh all views and publish them as one generation.

    All views are made from one snapshot of HAPI's database and published by one commit. Until then readers have the
    last generation, and they keep it when this fails (exit code 5).

    Afterwards a random sample of both layers is compared with a recompute (LAMBDA_PIPELINE_PARITY_SAMPLE; 0 for none).
    A difference ends the command with exit code 1; the generation stays published.
    """
    with opened() as deployment:
        click.echo(format_generation(deployment.refresh(full=full)))
        check_refreshed(deployment)


def format_generation(generation: Generation) -> str:
    """The generation as text: one line, then the table of its views."""
    table = render_values(
        ["view", "rows", "resources", "quarantined", "made", "rows written", "seconds"],
        [
            (name, view.row_count, view.resources, view.quarantined, view.build_kind, view.rows_written, view.seconds)
            for name, view in sorted(generation.views.items())
        ],
    )
    as_of = generation.valid_as_of.isoformat(timespec="milliseconds")
    changes = "" if generation.build_kind == "full" else f", {generation.changes:,} changed resources"
    if generation.repaired:
        changes += f", {generation.repaired:,} of them found only by comparing all keys"
    return f"generation {generation.number} ({generation.build_kind}{changes}), valid as of {as_of}\n{table}"
