"""URLs of both servers, with an embedded server in place of each URL that is not configured."""

from lambda_pipeline.deployment import ServerUrls, configured_urls
from lambda_pipeline.development import embedded
from lambda_pipeline.settings import Settings


def server_urls(settings: Settings) -> ServerUrls:
    """URLs of both servers; an embedded server is started, or attached to, for each URL that is not configured.

    Raises:
        ConfigurationError: a URL is set that cannot be used, or a server is missing and the binaries are not installed.
        ServerUnavailableError: an embedded server does not start.
    """
    if configured := configured_urls(settings):
        return configured
    needs_postgres, needs_redis = settings.hapi_db_url is None, settings.redis_url is None
    servers = embedded.start(settings.home, postgres=needs_postgres, redis=needs_redis)
    return ServerUrls(
        hapi_db=settings.hapi_db_url.get_secret_value() if settings.hapi_db_url else servers.postgres_url,
        redis=settings.redis_url.get_secret_value() if settings.redis_url else servers.redis_url,
        embedded_postgres=needs_postgres,
        embedded_redis=needs_redis,
    )
