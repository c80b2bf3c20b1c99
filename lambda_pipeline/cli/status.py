"""`status` and `check`: how a deployment is, and whether its surroundings are fit for it."""

import json

import click

from lambda_pipeline.api import server_urls
from lambda_pipeline.batch.view_status import ViewStatus
from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.console import render
from lambda_pipeline.database import Database
from lambda_pipeline.operations.preflight import Finding, Level, check_hapi, check_redis, check_views
from lambda_pipeline.operations.status import PipelineStatus, collect_status
from lambda_pipeline.settings import load_settings

UNREACHABLE = 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show what is published, how fresh answers are, and what is wrong.

    Exits with 1 when something is wrong: nothing is published, the overlay has a gap or is full, or nobody polls.
    """
    with opened() as deployment:
        health = collect_status(deployment)
    click.echo(json.dumps(health.as_json(), indent=2, ensure_ascii=False) if as_json else _told(health))
    for problem in health.problems:
        click.echo(f"unhealthy: {problem}", err=True)
    if not health.healthy:
        ctx.exit(1)


@click.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check servers, versions, rights, HAPI's tables and view definitions before use.

    Changes nothing but one key in Redis, which it removes again. Exits with 1 when something fails, with 2 when a
    server cannot be reached; warnings do not count.
    """
    settings = load_settings()
    findings: list[Finding] = []

    def show(finding: Finding) -> None:
        findings.append(finding)
        level = Level.FAIL if finding.level is Level.UNREACHABLE else finding.level
        hint = f" ({finding.hint})" if finding.hint else ""
        click.echo(f"{level:<5}{finding.subject}: {finding.text}{hint}")

    for finding in check_views(settings):
        show(finding)
    urls = server_urls(settings)
    if urls.embedded_postgres:
        show(Finding(Level.OK, "HAPI_DB_URL", "not set: the embedded PostgreSQL is the source"))
    database = Database(urls.hapi_db, connect_timeout_s=settings.connect_timeout_s)
    try:
        for finding in check_hapi(database, settings, embedded=urls.embedded_postgres):
            show(finding)
    finally:
        database.close()
    if urls.embedded_redis:
        show(Finding(Level.OK, "REDIS_URL", "not set: the embedded Valkey is used"))
    for finding in check_redis(urls.redis, settings):
        show(finding)
    levels = {finding.level for finding in findings}
    if Level.UNREACHABLE in levels:
        ctx.exit(UNREACHABLE)
    if Level.FAIL in levels:
        ctx.exit(1)


def _told(health: PipelineStatus) -> str:
    facts = [("state", "healthy" if health.healthy else "unhealthy")]
    if (generation := health.generation) is not None:
        as_of = generation.valid_as_of.isoformat(timespec="milliseconds")
        facts.append(("generation", f"{generation.number} ({generation.build_kind}), valid as of {as_of}"))
    if health.frontier is not None:
        frontier = health.frontier.isoformat(timespec="milliseconds")
        facts.append(
            ("answers", f"valid as of {frontier}, {health.lag_s:,.1f} s ago, from {' and '.join(health.sources)}")
        )
    if (overlay := health.overlay) is not None:
        by_type = ", ".join(f"{count:,} {kind}" for kind, count in sorted(overlay.entries.items()) if count)
        entries = f"{overlay.entry_count:,} entries" + (f" ({by_type})" if by_type else "")
        facts.append(("overlay", f"{entries}, {overlay.size_bytes:,} bytes"))
        waiting = f"waiting: {overlay.waiting}" if overlay.waiting else "complete"
        facts.append(("coverage", f"gap: {overlay.gap}" if overlay.gap else waiting))
    facts.append(("quarantine", f"{len(health.quarantined):,} resources"))
    lines = [f"{name:<11} {text}" for name, text in facts]
    lines += [f"note        {note}" for note in health.notes]
    return "\n".join([*lines, "", views_table(health.views)])


def views_table(views: tuple[ViewStatus, ...] | list[ViewStatus]) -> str:
    """The views of a deployment, one line each."""
    return render(
        ["view", "resource", "state", "generation", "rows", "resources", "quarantined", "made", "digest"],
        [
            [
                view.name,
                view.resource,
                view.state,
                None if view.generation is None else str(view.generation),
                f"{view.rows:,}",
                f"{view.resources:,}",
                f"{view.quarantined:,}",
                view.build_kind or None,
                view.digest[:12],
            ]
            for view in views
        ],
        right={3, 4, 5, 6},
        cell_width=63,
    )
