"""One deployment: batch, speed and serving layer, wired together over given servers.

Starts no server: `api.open_deployment` and `development.urls` find or start one where no URL is configured.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self, Unpack

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.cohorts import AnyCohort, CohortAnswer, GroupCounts, ask, count_by
from lambda_pipeline.cohorts.groups import AGE_BANDS
from lambda_pipeline.database import Database
from lambda_pipeline.errors import ConfigurationError, LambdaPipelineError
from lambda_pipeline.queries import ask_query, read_queries
from lambda_pipeline.serving import Answer, Filter, ReadOptions, Resource, Serving
from lambda_pipeline.serving.options import DEFAULTS, OptionValues
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline.views import BrokenFile, View

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the servers are, and which of them are embedded.

    Attributes:
        hapi_db: URL of HAPI's database; empty when it is not needed.
        redis: URL of Redis; empty when it is not needed.
        embedded_postgres: HAPI's database is the embedded demo source.
        embedded_redis: Redis is the embedded Valkey.
    """

    hapi_db: str
    redis: str
    embedded_postgres: bool
    embedded_redis: bool


def configured_urls(settings: Settings) -> ServerUrls | None:
    """URLs of the servers that the settings name; None when HAPI_DB_URL or REDIS_URL is not set.

    Raises:
        ConfigurationError: BATCH_DB_URL is set.
    """
    if settings.batch_db_url is not None:
        raise ConfigurationError(
            "BATCH_DB_URL is reserved and not supported yet", hint="unset it: views live in HAPI's database"
        )
    if settings.hapi_db_url is None or settings.redis_url is None:
        return None
    return ServerUrls(
        hapi_db=settings.hapi_db_url.get_secret_value(),
        redis=settings.redis_url.get_secret_value(),
        embedded_postgres=False,
        embedded_redis=False,
    )


class Deployment:
    """The layers over one pair of servers. Opens no connection before the first use.

    Args:
        urls: the servers.
        views: compiled views.
        settings: of all layers.
        broken: files of the folder that do not compile; their views go on as they are published.
    """

    def __init__(
        self, urls: ServerUrls, views: Sequence[View], settings: Settings, broken: Sequence[BrokenFile] = ()
    ) -> None:
        self.settings = settings
        self.urls = urls
        self.views = tuple(views)
        self.broken = tuple(broken)
        self.database = Database(
            urls.hapi_db, pool_size=settings.pool_size, connect_timeout_s=settings.connect_timeout_s
        )
        self.overlay = Overlay(urls.redis, settings)
        self.poller = Poller(self.database, self.overlay, self.views, settings)
        self.serving = Serving(self.database, self.overlay, self.views, settings)

    def refresh(self, *, full: bool = False) -> Generation:
        """Build or refresh all views and publish them (`batch.refresh.refresh`), then poll once.

        The poll removes entries that the new generation covers and compares the others with it; until then live answers
        do not use the overlay. The next poll would do the same, so a failure of this one is only a warning.
        """
        generation = refresh(self.database, self.views, self.settings, full=full, broken=self.broken)
        if self.settings.speed_layer:
            try:
                self.poller.poll()
            except LambdaPipelineError as error:
                logger.warning(
                    "generation %d is published, but the overlay was not updated: %s", generation.number, error
                )
        return generation

    def ask(
        self,
        cohort: AnyCohort,
        *,
        persons: bool = False,
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> CohortAnswer:
        """Count the persons that a cohort definition finds; see `cohorts.ask`, which says what is raised.

        Args:
            cohort: the definition, the path of its file, or the content of its document.
            persons: whether the answer also has the ids of the persons.
            options: how the question is answered.
            changed: single options that differ, such as `mode="batch"`.
        """
        return ask(self.serving, cohort, persons=persons, options=options, **changed)

    def run_query(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> Answer:
        """Rows of the saved query of this name; see `queries.ask_query`, which says what is raised.

        Args:
            name: as its file declares it, or else the file's name without suffix.
            parameters: a value for each parameter; those of a declared type are checked before any server is asked.
            options: how the question is answered.
            changed: single options that differ, such as `mode="batch"`.
        """
        query = read_queries(self.settings.queries).find(name)
        return ask_query(self.serving, query, parameters, options=options, **changed)

    def count_by(
        self,
        view: str,
        by: Sequence[str],
        *,
        where: Sequence[Filter] = (),
        age_bands: Sequence[int] = AGE_BANDS,
        age_at: date | None = None,
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> GroupCounts:
        """Count the rows of a view by group, such as `["gender", "birth_date:month"]`; see `cohorts.count_by`.

        Small counts are not shown where the setting `disclosure_min_cell` says so.
        """
        return count_by(
            self.serving, view, by, where=where, age_bands=age_bands, age_at=age_at, options=options, **changed
        )

    def resource(self, reference: str) -> Resource:
        """The current state of one resource, such as `Patient/123`; `Serving.resource` says what is raised."""
        return self.serving.resource(reference)

    def resources(self, resource_type: str, *, since: datetime | None = None) -> list[Resource]:
        """The resources of a type that polls captured after a moment; see `Serving.resources`."""
        return self.serving.resources(resource_type, since=since)

    def close(self) -> None:
        """Close pooled connections; servers keep running."""
        self.serving.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
