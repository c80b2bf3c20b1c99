"""`dev`, `stop` and `clean`: the servers of a developer's machine. The work is in `development/`."""

import click

from lambda_pipeline.development import dev as development


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Of the UI on 127.0.0.1.")
@click.option("--detach", is_flag=True, help="Return as soon as the UI answers; lambda-pipeline stop ends it.")
@click.option("--changing", is_flag=True, help="Keep the embedded source changing, so that freshness can be watched.")
@click.option(
    "--patients",
    type=click.IntRange(min=50),
    default=1_000,
    show_default=True,
    help="Synthetic patients in an embedded source that is still empty.",
)
@click.pass_context
def dev(ctx: click.Context, *, port: int, detach: bool, changing: bool, patients: int) -> None:
    """Run everything with Dagster's UI, on embedded servers where no URL is set.

    Stays until Ctrl-C. The embedded servers go on running, and the next dev finds its data again.
    """
    ctx.exit(development.run(port=port, detach=detach, changing=changing, patients=patients))


@click.command()
def stop() -> None:
    """Stop Dagster and the embedded servers, also those of other terminals; data stays."""
    development.stop()


@click.command()
def clean() -> None:
    """Stop everything and remove what is kept under LAMBDA_PIPELINE_HOME: data, logs, results.

    Servers that are configured by URL are not touched.
    """
    development.clean()
