"""`status`: what is published, how fresh answers are, and what is wrong. What is healthy: `operations/status.py`."""

import json
from collections.abc import Sequence

import click

from lambda_pipeline.batch.view_status import ViewStatus
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.console import render_values
from lambda_pipeline.operations.status import PipelineStatus, collect_status


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show what is published, how fresh answers are, and what is wrong.

    Exits with 1 when something is wrong: nothing is published, the overlay has a gap or is full, nothing polls, or a
    view is not as its file defines it. Starts no server.
    """
    with opened(start=False) as deployment:
        found = collect_status(deployment)
    click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False) if as_json else format_status(found))
    for problem in found.problems:
        click.echo(f"unhealthy: {problem}", err=True)
    if not found.healthy:
        ctx.exit(1)


def format_status(found: PipelineStatus) -> str:
    """The status as text: one fact per line, then the table of views."""
    facts = [("state", "healthy" if found.healthy else "unhealthy")]
    if (generation := found.generation) is not None:
        as_of = generation.valid_as_of.isoformat(timespec="milliseconds")
        facts.append(("generation", f"{generation.number} ({generation.build_kind}), valid as of {as_of}"))
    if found.frontier is not None:
        frontier = found.frontier.isoformat(timespec="milliseconds")
        facts.append(
            ("answers", f"valid as of {frontier}, {found.lag_s:,.1f} s ago, from {' and '.join(found.sources)}")
        )
    if (overlay := found.overlay) is not None:
        counts = sorted(overlay.entries.items())
        by_type = ", ".join(f"{count:,} {resource_type}" for resource_type, count in counts if count)
        entries = f"{overlay.entry_count:,} entries" + (f" ({by_type})" if by_type else "")
        facts.append(("overlay", f"{entries}, {overlay.size_bytes:,} bytes"))
        waiting = f"waiting: {overlay.waiting}" if overlay.waiting else "complete"
        facts.append(("coverage", f"gap: {overlay.gap}" if overlay.gap else waiting))
    facts.append(("quarantine", f"{len(found.quarantined):,} resources"))
    facts += [("note", note) for note in found.notes]
    return "\n".join([*(f"{name:<11} {text}" for name, text in facts), "", views_table(found.views)])


def views_table(views: Sequence[ViewStatus]) -> str:
    """The views of a deployment, one line each."""
    return render_values(
        ["view", "resource", "state", "generation", "rows", "resources", "quarantined", "made", "digest"],
        [
            (
                view.name,
                view.resource,
                view.state,
                None if view.generation is None else str(view.generation),
                view.rows,
                view.resources,
                view.quarantined,
                view.build_kind or None,
                view.digest[:12],
            )
            for view in views
        ],
        right={3},
    )
