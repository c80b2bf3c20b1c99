"""`notify`: who is told of failures, and a test of that. The work is in `operations/notify/`."""

from datetime import UTC, datetime

import click

from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.operations.notify import Notifier
from lambda_pipeline.settings import load_settings


@click.command()
@click.option("--test", "as_test", is_flag=True, help="Send a test notice on every channel.")
@click.pass_context
def notify(ctx: click.Context, *, as_test: bool) -> None:
    """Show who is told of failures and what fails at present, or send a test.

    Channels are LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL, and LAMBDA_PIPELINE_NOTIFY_SMTP_URL with ..._NOTIFY_MAIL_TO. A test
    prints what each of them said; the command exits with 1 when one did not take it, and with 2 without any channel.
    """
    notifier = Notifier(load_settings())
    if not notifier.channels:
        raise ConfigurationError(
            "nobody is told of failures",
            hint="set LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL or LAMBDA_PIPELINE_NOTIFY_SMTP_URL",
        )
    if not as_test:
        click.echo("\n".join(f"told by   {channel.name}" for channel in notifier.channels))
        for subject, episode in notifier.open_subjects().items():
            since = datetime.fromtimestamp(episode.since, UTC).isoformat(timespec="seconds")
            click.echo(f"failing   {subject}, since {since}")
        return
    deliveries = notifier.send_test()
    for each in deliveries:
        click.echo(f"{each.channel}: {'sent' if each.sent else 'not sent'}: {each.text}")
    if not all(each.sent for each in deliveries):
        ctx.exit(1)
