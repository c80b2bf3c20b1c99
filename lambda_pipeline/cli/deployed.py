"""The deployment of a command, as the environment describes it."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lambda_pipeline.api import Deployment, open_deployment
from lambda_pipeline.errors import SourceError

logger = logging.getLogger(__name__)


@contextmanager
def opened(*, start: bool = True) -> Iterator[Deployment]:
    """Open the deployment of the environment.

    Args:
        start: start embedded servers where no URL is set.

    Raises:
        ServerUnavailableError: the embedded PostgreSQL does not run and shall not be started.
        SourceError: HAPI's tables cannot be read; the hint is another one where the embedded source is still empty.
    """
    with open_deployment(start=start) as deployment:
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


def warn_of_broken_files(deployment: Deployment, names: Iterable[str]) -> None:
    """Warn whoever asks one of these views that its file does not compile."""
    for file in deployment.broken:
        if file.view in names:
            logger.warning("%s; the answer is by the published definition of %s", file, file.view)
