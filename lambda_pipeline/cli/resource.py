"""`resource`: one resource as it is now, on standard output."""

import click

from lambda_pipeline.cli.deployed import opened


@click.command()
@click.argument("reference")
@click.pass_context
def resource(context: click.Context, reference: str) -> None:
    """Print the resource of REFERENCE, such as Patient/123, as it is now.

    One line of JSON; nothing where it was deleted or is unknown, and exit code 1. Patient/123@5 is that of partition 5,
    Patient/123@default that of none.

    \b
    lambda-pipeline resource Patient/123
    """  # noqa: D301 (click wants the character \b)
    with opened() as deployment:
        found = deployment.resource(reference)
    as_of = found.valid_as_of.isoformat(timespec="milliseconds")
    version = "" if found.version is None else f", version {found.version}"
    click.echo(f"{found.reference}: {found.status}{version}, valid as of {as_of}, from {found.source}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if found.text is None:
        context.exit(1)
    click.echo(found.text)
