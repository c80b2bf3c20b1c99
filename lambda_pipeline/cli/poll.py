"""`poll`: what Dagster's sensor does, once. The work is in `speed/poll.py`."""

import click

from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.speed.poll import Poll


@click.command()
@click.option("--rebuild", is_flag=True, help="Rebuild the overlay from the published generation and HAPI's tables.")
@click.pass_context
def poll(ctx: click.Context, *, rebuild: bool) -> None:
    """Capture what changed in HAPI since the last poll, once.

    Exits with 1 when no generation is published yet, or when the overlay is full: run a refresh then.
    """
    with opened() as deployment:
        done = deployment.poller.poll(rebuild=rebuild)
    if done.waiting:
        click.echo(f"nothing captured: {done.waiting}", err=True)
        ctx.exit(1)
    click.echo(format_poll(done))
    if done.over_budget:
        click.echo("the overlay is full: run lambda-pipeline refresh", err=True)
        ctx.exit(1)


def format_poll(done: Poll) -> str:
    """What a poll captured, in one line."""
    assert done.mark is not None
    by_type = ", ".join(f"{count:,} {resource_type}" for resource_type, count in done.captured.items())
    parts = [
        f"captured {done.count:,} changes" + (f" ({by_type})" if by_type else ""),
        f"{done.deleted:,} of them deletes" if done.deleted else "",
        f"{done.unreadable:,} of them cannot be read" if done.unreadable else "",
        f"{done.late:,} of them too old by HAPI's timestamp for a ranged poll" if done.late else "",
        f"{done.pruned:,} entries pruned" if done.pruned else "",
        f"{done.entries:,} entries in the overlay",
        f"valid as of {done.mark.taken_at.isoformat(timespec='milliseconds')}",
    ]
    return "; ".join(filter(None, parts))
