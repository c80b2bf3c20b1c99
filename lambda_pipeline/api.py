"""The public Python API: open a deployment, ask questions, handle answers and errors.

Scripts and notebooks import from here, and from nowhere else; other modules may change between minor versions.
"""

from collections.abc import Sequence

from lambda_pipeline.cohorts import Cohort, CohortAnswer, GroupCounts, read_cohort
from lambda_pipeline.deployment import Deployment, ServerUrls, configured_urls
from lambda_pipeline.errors import AnswerRefusedError, LambdaPipelineError
from lambda_pipeline.serving import (
    Answer,
    Changes,
    Counts,
    Filter,
    Mode,
    Operator,
    QuarantinedResource,
    ReadOptions,
    Resource,
)
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.views import View, ViewFolder, read_views

__all__ = [
    "Answer",
    "AnswerRefusedError",
    "Changes",
    "Cohort",
    "CohortAnswer",
    "Counts",
    "Deployment",
    "Filter",
    "GroupCounts",
    "LambdaPipelineError",
    "Mode",
    "Operator",
    "QuarantinedResource",
    "ReadOptions",
    "Resource",
    "Settings",
    "load_settings",
    "open_deployment",
    "read_cohort",
    "server_urls",
]


def open_deployment(
    settings: Settings | None = None, views: Sequence[View] | None = None, *, start: bool = True
) -> Deployment:
    """The deployment that the environment describes; use it as a context manager, or close it.

    Args:
        settings: of the environment by default.
        views: compiled views; those of the settings' folder by default. Files there that do not compile are
            `Deployment.broken`: their views go on as they are published.
        start: start embedded servers where no URL is configured; else they are only looked for.

    Raises:
        ConfigurationError: the folder of view definitions is missing, or as `server_urls`.
        ServerUnavailableError: as `server_urls`.
    """
    settings = settings or load_settings()
    folder = read_views(settings.view_definitions) if views is None else ViewFolder(tuple(views))
    return Deployment(server_urls(settings, start=start), folder.views, settings, folder.broken)


def server_urls(settings: Settings, *, start: bool = True) -> ServerUrls:
    """URLs of both servers: as configured, or of the embedded servers where one is not.

    Args:
        settings: of the environment.
        start: start embedded servers; else they are only looked for.

    Raises:
        ConfigurationError: a URL is set that cannot be used, or a server is missing and the binaries are not installed.
        ServerUnavailableError: an embedded server does not start, or PostgreSQL shall not be started and does not run.
    """
    if configured := configured_urls(settings):
        return configured
    # Imported here, so that a deployment with configured servers loads nothing of the development servers.
    from lambda_pipeline.development import urls  # noqa: PLC0415

    return urls.start_missing(settings) if start else urls.find_existing(settings)
