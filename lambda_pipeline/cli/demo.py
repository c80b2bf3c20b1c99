"""`demo`: the whole pipeline in a minute. The story is in `demo/story.py`."""

import logging

import click

from lambda_pipeline.demo import story
from lambda_pipeline.development import embedded
from lambda_pipeline.settings import load_settings

logger = logging.getLogger("lambda_pipeline")


@click.command()
@click.option(
    "--patients",
    type=click.IntRange(min=200),
    default=1_000,
    show_default=True,
    help="Size of the synthetic population.",
)
def demo(*, patients: int) -> None:
    """Show the whole pipeline in a minute: one question, asked before, during and after a day.

    Runs on the embedded servers, in a database that it creates and drops; the data of dev is not touched.
    Fails when an answer differs from a full recompute.
    """
    settings = load_settings()
    if logger.level == logging.INFO:
        logger.setLevel(logging.WARNING)
    click.echo("starting the embedded PostgreSQL and Valkey ...", err=True)
    servers = embedded.start(settings.home)
    story.run_story(servers.postgres_url, servers.redis_url, settings, patients=patients, print_line=click.echo)
    click.echo("The servers go on running: make stop (lambda-pipeline stop) ends them.", err=True)
