"""One deployment: its servers, its views and the layers wired over them: where CLI, Dagster and notebooks start."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from lambda_pipeline import embedded
from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.errors import ConfigurationError, LambdaPipelineError
from lambda_pipeline.serving import Serving
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.speed.capture import Capture
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.views import View, load_views

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the servers are, and which of them are ours.

    Attributes:
        hapi_db: HAPI's database; empty when it was not asked for.
        redis: empty when it was not asked for.
        embedded_postgres: HAPI's database is the embedded demo source.
        embedded_redis: Redis is the embedded Valkey.
    """

    hapi_db: str
    redis: str
    embedded_postgres: bool
    embedded_redis: bool


def server_urls(settings: Settings) -> ServerUrls:
    """URLs of both servers; whichever is not configured is started from the embedded binaries, or attached to.

    Raises:
        ConfigurationError: a URL is set that cannot be used, or a server is missing and the binaries are not installed.
        ServerUnavailableError: an embedded server does not start.
    """
    if settings.batch_db_url is not None:
        raise ConfigurationError(
            "BATCH_DB_URL is reserved and not supported yet", hint="unset it: views live in HAPI's database"
        )
    own_postgres, own_redis = settings.hapi_db_url is None, settings.redis_url is None
    own = embedded.start(settings.home, postgres=own_postgres, redis=own_redis) if own_postgres or own_redis else None
    return ServerUrls(
        hapi_db=settings.hapi_db_url.get_secret_value() if settings.hapi_db_url else own.postgres_url if own else "",
        redis=settings.redis_url.get_secret_value() if settings.redis_url else own.redis_url if own else "",
        embedded_postgres=own_postgres,
        embedded_redis=own_redis,
    )


class Deployment:
    """The layers over one pair of servers. Opens no connection before it is used.

    Args:
        urls: the servers.
        views: compiled views.
        settings: everything else.
    """

    def __init__(self, urls: ServerUrls, views: Sequence[View], settings: Settings) -> None:
        self.settings = settings
        self.urls = urls
        self.views = tuple(views)
        self.database = Database(
            urls.hapi_db, pool_size=settings.pool_size, connect_timeout_s=settings.connect_timeout_s
        )
        self.overlay = Overlay(urls.redis, settings)
        self.capture = Capture(self.database, self.overlay, self.views, settings)
        self.serving = Serving(self.database, self.overlay, self.views, settings)

    @classmethod
    def open(cls, settings: Settings | None = None) -> Self:
        """The deployment that the environment describes.

        Raises:
            ViewDefinitionError: a view definition is malformed or not supported.
            ConfigurationError, ServerUnavailableError: as `server_urls`.
        """
        settings = settings or load_settings()
        views = load_views(settings.view_definitions)
        return cls(server_urls(settings), views, settings)

    def refresh(self, *, full: bool = False) -> Generation:
        """Build or refresh all views and publish them (`batch.refresh.refresh`), then fit the overlay to them.

        A poll does that: it forgets what is covered, and compares the rest with the new generation, before which live
        answers do not come from the overlay again. The next one would do the same, so it may fail here.
        """
        generation = refresh(self.database, self.views, self.settings, full=full)
        if self.settings.speed_layer:
            try:
                self.capture.poll()
            except LambdaPipelineError as error:
                logger.warning("generation %d is published, the overlay is of the last: %s", generation.number, error)
        return generation

    def close(self) -> None:
        """Close pooled connections; servers go on running."""
        self.serving.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
