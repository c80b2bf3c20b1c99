"""`settings`: what is in force and where it comes from. The work is in `operations/settings_in_force.py`."""

import json
import os

import click

from lambda_pipeline.console import render
from lambda_pipeline.operations.settings_in_force import SettingInForce, settings_in_force
from lambda_pipeline.settings import load_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON list, with what each setting means.")
def settings(*, as_json: bool) -> None:
    """Show every setting, its value and where that comes from.

    That is the environment or the default. Passwords are shown as ***, also inside URLs, and so is the path of a
    webhook. Asks no server.
    """
    found = settings_in_force(load_settings(), os.environ)
    if as_json:
        click.echo(json.dumps([each.as_json() for each in found], indent=2, ensure_ascii=False))
        return
    rows = [(each.variable, _as_text(each), str(each.origin)) for each in found]
    click.echo(render(["variable", "value", "source"], rows, cell_width=100))


def _as_text(setting: SettingInForce) -> str | None:
    """As it would be written into the environment."""
    value = setting.value
    if value is None:
        return None
    if isinstance(value, bool | dict):
        return json.dumps(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
