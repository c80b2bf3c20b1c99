"""Server URLs with an embedded server in place of each one that is not configured; `api.server_urls` asks for them."""

from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.development import embedded
from lambda_pipeline.settings import Settings


def start_missing(settings: Settings) -> ServerUrls:
    """URLs of both servers; an embedded server is started, or attached to, for each URL that is not configured.

    Raises:
        ConfigurationError: a server is missing and the binaries are not installed.
        ServerUnavailableError: an embedded server does not start.
    """
    needs_postgres, needs_redis = settings.hapi_db_url is None, settings.redis_url is None
    servers = embedded.start(settings.home, postgres=needs_postgres, redis=needs_redis)
    return ServerUrls(
        hapi_db=settings.hapi_db_url.get_secret_value() if settings.hapi_db_url else servers.postgres_url,
        redis=settings.redis_url.get_secret_value() if settings.redis_url else servers.redis_url,
        embedded_postgres=needs_postgres,
        embedded_redis=needs_redis,
    )
