"""What `lambda-pipeline dev` and `stop` do: start servers, sample data and Dagster with its UI together; stop them all.

A server that is configured by URL is used as it is; the others are embedded. Nothing here is needed where Dagster is
started in another way: set the variables of `dagster_process.dagster_environment`, and start the webserver, the daemon
and the code server.
"""

from functools import partial

import click

from lambda_pipeline.api import server_urls
from lambda_pipeline.database import Database
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.development import dagster_process, embedded
from lambda_pipeline.development.dagster_process import Say
from lambda_pipeline.development.sample_data import prepare_source
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.views import read_views

CHANGES = ("-m", "lambda_pipeline.demo.hospital.changes")

_print_progress = partial(click.echo, err=True)


def run(
    *,
    port: int = 3000,
    detach: bool = False,
    changing: bool = False,
    patients: int = 1_000,
    settings: Settings | None = None,
    say: Say = _print_progress,
) -> int:
    """Start everything, and stay until Ctrl-C unless detached.

    The embedded servers go on running afterwards, and a second `dev` finds its data. An empty embedded source gets the
    synthetic population; its views are built before the UI opens. On a configured source, the capture sensor requests
    the first generation as a run.

    Args:
        port: of the UI on 127.0.0.1.
        detach: return as soon as the UI answers; the output of Dagster goes to `<home>/dagster/dagster.log`.
        changing: keep the embedded source changing.
        patients: size of the population.
        settings: of the environment by default.
        say: receives progress, line by line.

    Returns:
        0 after Ctrl-C or `stop`, or when detached; 1 when Dagster ended without either.

    Raises:
        ConfigurationError: not in a checkout, the port is in use, changes are requested on a configured source, or a
            URL cannot be used.
        ServerUnavailableError: a server cannot be reached, or Dagster does not start.
        RefreshError: the views cannot be built.
    """
    settings = settings or load_settings()
    if found := dagster_process.find_running(settings):
        say(f"Dagster runs already: {found.url} (lambda-pipeline stop ends it)")
        return 0
    dagster_process.check_port(port)
    folder = read_views(settings.view_definitions)
    urls = server_urls(settings)
    if changing and not urls.embedded_postgres:
        raise ConfigurationError("only the embedded source can be kept changing", hint="unset HAPI_DB_URL")
    with Deployment(urls, folder.views, settings, folder.broken) as deployment:
        _check_servers(deployment)
        # After the checks, because it may start a server: nothing is started where a configured server does not answer.
        environment = dagster_process.dagster_environment(settings, urls)
        if urls.embedded_postgres:
            prepare_source(deployment, patients, say)
    companions = [CHANGES] if changing else []
    return dagster_process.run(settings, environment, port=port, detach=detach, companions=companions, say=say)


def stop(*, settings: Settings | None = None, say: Say = _print_progress) -> list[str]:
    """Stop Dagster with all its processes, then the embedded servers. Data stays.

    Returns:
        The names of what was running; empty when nothing was.

    Raises:
        ServerUnavailableError: a process does not end.
    """
    settings = settings or load_settings()
    stopped = ["Dagster"] if dagster_process.stop(settings) else []
    stopped += embedded.stop(settings.home)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return stopped


def clean(*, settings: Settings | None = None, say: Say = _print_progress) -> None:
    """Stop everything that `dev` started, and remove the home with what is kept in it: data, logs and results.

    A home that contained other files before stays, and so do configured servers.

    Raises:
        ServerUnavailableError: a process does not end.
    """
    settings = settings or load_settings()
    stop(settings=settings, say=say)
    embedded.clean(settings.home)
    home = settings.home.expanduser().resolve()
    say(f"{home} contains files of others and stays" if home.exists() else f"removed {home}")


def _check_servers(deployment: Deployment) -> None:
    with deployment.database.connect():
        pass
    if (dagster_url := deployment.settings.dagster_pg_url) is not None:
        database = Database(dagster_url.get_secret_value(), name="DAGSTER_PG_URL")
        try:
            with database.connect():
                pass
        finally:
            database.close()
    deployment.overlay.read_status()
