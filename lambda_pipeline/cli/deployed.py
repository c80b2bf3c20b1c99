"""The deployment of a command, as the environment describes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from lambda_pipeline.api import Deployment, open_deployment
from lambda_pipeline.errors import SourceError


@contextmanager
def opened() -> Iterator[Deployment]:
    """Open the deployment of the environment; embedded servers are started where no URL is set.

    Raises:
        SourceError: HAPI's tables cannot be read; the hint is another one where the embedded source is still empty.
    """
    with open_deployment() as deployment:
        try:
            yield deployment
        except SourceError:
            if not deployment.urls.embedded_postgres:
                raise
            # Imported here, so that commands on configured servers load nothing of the development servers.
            from lambda_pipeline.development.sample_data import empty_source_error  # noqa: PLC0415

            if explained := empty_source_error(deployment):
                raise explained from None
            raise
