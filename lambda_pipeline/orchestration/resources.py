"""Resources: the deployment that environment variables describe, and the serving layer on its own.

They have no fields. Run config can override any field of a resource, so a URL that were one could be pointed elsewhere
from the launchpad; these read the process's settings when they are first used, and nothing else.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from lambda_pipeline.api import server_urls
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.serving import Serving
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import ViewFolder, read_views


@lru_cache(maxsize=8)
def deployed_views(folder: Path) -> ViewFolder:
    """The view definitions of this process: read once, so that assets, sensor and runs speak of the same ones.

    Raises:
        ConfigurationError: the folder is missing, or holds no definition.
    """
    found = read_views(folder)
    if found == ViewFolder(()):
        raise ConfigurationError(
            f"there is no view definition in {folder}", hint="set LAMBDA_PIPELINE_VIEW_DEFINITIONS"
        )
    return found


class DeploymentResource(dg.ConfigurableResource[Any]):
    """Batch and speed layer of this deployment; servers are looked for when it is first used."""

    _deployment: Deployment | None = PrivateAttr(default=None)

    def get(self) -> Deployment:
        """The layers.

        Raises:
            ConfigurationError, ServerUnavailableError: as `api.server_urls`.
        """
        if self._deployment is None:
            settings = load_settings()
            folder = deployed_views(settings.view_definitions)
            self._deployment = Deployment(server_urls(settings), folder.views, settings, folder.broken)
        return self._deployment

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 (Dagster's signature)
        """Close pooled connections."""
        self.close()

    def close(self) -> None:
        """Close pooled connections; the next use opens them again."""
        if self._deployment is not None:
            self._deployment.close()
            self._deployment = None


class ServingResource(DeploymentResource):
    """Answers over the merged views, for jobs and assets: `resource.serving.query(...)` and `.select(...)`.

    Two answers are of two moments: ask one SQL question where they must be of the same.
    """

    @property
    def serving(self) -> Serving:
        """The serving layer; see `serving.Serving`."""
        return self.get().serving
