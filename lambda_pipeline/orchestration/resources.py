"""Resources: the deployment that environment variables describe, and the serving layer on its own.

They have no fields. Run config can override any field of a resource, so a URL that were one could be pointed elsewhere
from the launchpad; these read the process's settings when they are first used, and nothing else.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from lambda_pipeline.api import open_deployment
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.serving import Answer, Filter, Mode
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import View, load_views


@lru_cache(maxsize=8)
def deployed_views(folder: Path) -> tuple[View, ...]:
    """The compiled views of this process: read once, so that assets, sensor and runs speak of the same ones.

    Raises:
        ViewDefinitionError: a definition is malformed or not supported.
        ConfigurationError: there is none.
    """
    views = load_views(folder)
    if not views:
        raise ConfigurationError(
            f"there is no view definition in {folder}", hint="set LAMBDA_PIPELINE_VIEW_DEFINITIONS"
        )
    return views


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
            self._deployment = open_deployment(settings, deployed_views(settings.view_definitions))
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
    """Answers over the merged views, in jobs and assets as in scripts and notebooks: `ServingResource().query(...)`.

    One answer is one moment. Two answers are two: ask one SQL question where they must be the same.
    """

    def query(
        self,
        view: str,
        *,
        where: Sequence[Filter] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
        mode: Mode = "live",
        freshness_target_s: float | None = None,
        accept_quarantined: bool = True,
    ) -> Answer:
        """Rows of one view; see `serving.Serving.query`. Without a target, that of the settings holds."""
        return self.get().serving.query(
            view,
            where=where,
            columns=columns,
            limit=limit,
            mode=mode,
            accept_quarantined=accept_quarantined,
            **_target(freshness_target_s),
        )

    def select(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        mode: Mode = "live",
        freshness_target_s: float | None = None,
        compare: bool = False,
        accept_quarantined: bool = True,
    ) -> Answer:
        """Rows of one SELECT over merged views; see `serving.Serving.select`. Without a target, the settings' holds."""
        return self.get().serving.select(
            statement,
            parameters,
            limit=limit,
            mode=mode,
            compare=compare,
            accept_quarantined=accept_quarantined,
            **_target(freshness_target_s),
        )


def _target(seconds: float | None) -> dict[str, Any]:
    return {} if seconds is None else {"freshness_target_s": seconds}
