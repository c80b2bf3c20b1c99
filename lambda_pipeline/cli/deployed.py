"""The deployment that a command works on."""

from collections.abc import Iterator
from contextlib import contextmanager

from lambda_pipeline.api import Deployment, open_deployment
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import SourceError


@contextmanager
def opened() -> Iterator[Deployment]:
    """The deployment of the environment; embedded servers are started where no URL is set.

    Raises:
        SourceError: as its layers raise it; that an embedded source is still empty is said in words that help there.
    """
    with open_deployment() as deployment:
        try:
            yield deployment
        except SourceError:
            if deployment.urls.embedded_postgres and not DemoHapi(deployment.database).installed():
                raise SourceError(
                    "HAPI_DB_URL is not set, and the embedded source has no data",
                    hint="set HAPI_DB_URL, load files with lambda-pipeline load FILE..., or run lambda-pipeline dev",
                ) from None
            raise
