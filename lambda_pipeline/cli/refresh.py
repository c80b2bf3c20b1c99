"""`refresh` and `poll`: what Dagster's schedule and sensor do, once."""

import click

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.cli.parity import check_refreshed
from lambda_pipeline.console import render
from lambda_pipeline.speed.poll import Poll


@click.command()
@click.option("--full", is_flag=True, help="Build everything anew, whatever the last generation holds.")
def refresh(*, full: bool) -> None:
    """Build or refresh all views and publish them as one generation.

    All views are made from one snapshot of HAPI's database and published by one commit; until then readers have the
    last generation, and keep it when this fails (exit code 5).

    Afterwards a random sample of both layers is compared with a recompute (LAMBDA_PIPELINE_PARITY_SAMPLE; 0 for none).
    A difference ends the command with exit code 1, and takes nothing back.
    """
    with opened() as deployment:
        generation = deployment.refresh(full=full)
        click.echo(_told(generation))
        check_refreshed(deployment)


@click.command()
@click.option("--rebuild", is_flag=True, help="Make the overlay anew from the published generation and HAPI's tables.")
@click.pass_context
def poll(ctx: click.Context, *, rebuild: bool) -> None:
    """Capture what changed in HAPI since the last poll, once.

    Exits with 1 when there is nothing to build upon yet, or when the overlay is full: run a refresh then.
    """
    with opened() as deployment:
        done = deployment.poller.poll(rebuild=rebuild)
    if done.waiting:
        click.echo(f"nothing captured: {done.waiting}", err=True)
        ctx.exit(1)
    click.echo(_captured(done))
    if done.over_budget:
        click.echo("the overlay is full: run lambda-pipeline refresh", err=True)
        ctx.exit(1)


def _told(generation: Generation) -> str:
    views = [generation.views[name] for name in sorted(generation.views)]
    table = render(
        ["view", "rows", "resources", "quarantined", "made", "rows written", "seconds"],
        [
            [
                each.view.name,
                f"{each.row_count:,}",
                f"{each.resources:,}",
                f"{each.quarantined:,}",
                each.build_kind,
                f"{each.rows_written:,}",
                f"{each.seconds:.2f}",
            ]
            for each in views
        ],
        right={1, 2, 3, 5, 6},
        cell_width=63,
    )
    as_of = generation.valid_as_of.isoformat(timespec="milliseconds")
    changes = "" if generation.build_kind == "full" else f", {generation.changes:,} changed resources"
    changes += f", {generation.repaired:,} of them known from the keys alone" if generation.repaired else ""
    return f"generation {generation.number} ({generation.build_kind}{changes}), valid as of {as_of}\n{table}"


def _captured(done: Poll) -> str:
    assert done.mark is not None
    by_type = ", ".join(f"{count:,} {kind}" for kind, count in done.captured.items())
    what = f"captured {done.count:,} changes" + (f" ({by_type})" if by_type else "")
    more = [
        f"{done.deleted:,} of them deletes" if done.deleted else "",
        f"{done.unreadable:,} of them cannot be read" if done.unreadable else "",
        f"{done.late:,} of them stamped too early for a poll by HAPI's clock" if done.late else "",
        f"{done.pruned:,} entries pruned" if done.pruned else "",
        f"{done.entries:,} entries in the overlay",
        f"valid as of {done.mark.taken_at.isoformat(timespec='milliseconds')}",
    ]
    return "; ".join([what, *filter(None, more)])
