"""`metrics`: a process that Prometheus and probes ask. The work is in `operations/metrics*.py` and `health.py`."""

import signal

import click

from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.errors import ConfigurationError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; there is no login.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="0 for any free one.")
def metrics(*, host: str, port: int) -> None:
    """Serve GET /metrics for Prometheus and GET /healthz for probes, until it is stopped.

    /healthz is 200 when a live answer could be given now, within the freshness target; else 503 with the reason. Reads
    PostgreSQL and Redis at each request, starts no server and changes nothing. Needs the extra `metrics`.
    """
    try:
        from lambda_pipeline.operations.metrics_server import MetricsServer  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise ConfigurationError(
            "prometheus-client is not installed", hint="pip install 'lambda-pipeline[metrics]'"
        ) from None
    with opened(start=False) as deployment:
        try:
            server = MetricsServer(deployment, host, port)
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be used: {error.strerror}", hint="choose another port"
            ) from None
        click.echo(f"{server.url}/metrics and {server.url}/healthz", err=True)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.serve()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
        finally:
            signal.signal(signal.SIGTERM, before)
