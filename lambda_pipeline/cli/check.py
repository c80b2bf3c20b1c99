"""`check`: whether servers, rights, HAPI's tables and view definitions are what the pipeline needs.

The checks are in `operations/preflight*.py`. The state of a running deployment does not belong here: see `status.py`.
"""

from collections.abc import Iterator

import click

from lambda_pipeline.api import server_urls
from lambda_pipeline.database import Database
from lambda_pipeline.errors import ServerUnavailableError
from lambda_pipeline.operations.preflight import Finding, Level, check_views
from lambda_pipeline.operations.preflight_hapi import check_hapi
from lambda_pipeline.operations.preflight_redis import check_redis
from lambda_pipeline.settings import Settings, load_settings

UNREACHABLE = 2


@click.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check servers, versions, rights, HAPI's tables and view definitions before use.

    Changes nothing except one key in Redis, which it removes again, and starts no server. Exits with 1 when a check
    fails, with 2 when a server cannot be reached; warnings do not count.
    """
    levels = set()
    for finding in _findings(load_settings()):
        levels.add(finding.level)
        level = Level.FAIL if finding.level is Level.UNREACHABLE else finding.level
        hint = f" ({finding.hint})" if finding.hint else ""
        click.echo(f"{level:<5}{finding.subject}: {finding.text}{hint}")
    if Level.UNREACHABLE in levels:
        ctx.exit(UNREACHABLE)
    if Level.FAIL in levels:
        ctx.exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from check_views(settings)
    try:
        urls = server_urls(settings, start=False)
    except ServerUnavailableError as error:
        yield Finding(Level.UNREACHABLE, "PostgreSQL", error.message, error.hint)
        if settings.redis_url is not None:
            yield from check_redis(settings.redis_url.get_secret_value(), settings)
        return
    missing_tables = None
    if urls.embedded_postgres:
        from lambda_pipeline.development.sample_data import EMPTY_SOURCE  # noqa: PLC0415

        missing_tables = EMPTY_SOURCE
        yield Finding(Level.OK, "HAPI_DB_URL", "not set: the embedded PostgreSQL is the source")
    database = Database(urls.hapi_db, connect_timeout_s=settings.connect_timeout_s)
    try:
        yield from check_hapi(database, settings, missing_tables=missing_tables)
    finally:
        database.close()
    if urls.embedded_redis:
        yield Finding(Level.OK, "REDIS_URL", "not set: the embedded Valkey is used")
    yield from check_redis(urls.redis, settings)
