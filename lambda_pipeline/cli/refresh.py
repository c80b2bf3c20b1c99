"""`refresh`: what Dagster's nightly schedule does, once. The work is in `batch/refresh.py`."""

import click

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.cli.parity import check_refreshed
from lambda_pipeline.console import render_values
from lambda_pipeline.operations.status import describe_failures


@click.command()
@click.option("--full", is_flag=True, help="Build all views from the source, without use of the last generation.")
@click.pass_context
def refresh(ctx: click.Context, *, full: bool) -> None:
    """Build or refresh all views and publish them as one generation.

    All views are made from one snapshot of HAPI's database and published by one commit. Until then readers have the
    last generation, and they keep it when this fails (exit code 5).

    A view whose file does not compile, or that cannot be made as it is defined, is refreshed as it was published last.
    A view that cannot be made at all is left out. Such views are named, the others are published; the exit code is 1.

    Afterwards a random sample of both layers is compared with a recompute (LAMBDA_PIPELINE_PARITY_SAMPLE; 0 for none).
    A difference ends the command with exit code 1; the generation stays published.
    """
    with opened() as deployment:
        generation = deployment.refresh(full=full)
        click.echo(format_generation(generation))
        for failure in describe_failures(generation):
            click.echo(f"not refreshed as defined: {failure}", err=True)
        check_refreshed(deployment)
    if generation.failures:
        ctx.exit(1)


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
