"""Server URLs with an embedded server in place of each one that is not configured; `api.server_urls` asks for them."""

from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.development import embedded
from lambda_pipeline.errors import ServerUnavailableError
from lambda_pipeline.settings import Settings


def start_missing(settings: Settings) -> ServerUrls:
    """URLs of both servers; an embedded server is started, or attached to, for each URL that is not configured.

    Raises:
        ConfigurationError: a server is missing and the binaries are not installed.
        ServerUnavailableError: an embedded server does not start.
    """
    needs_postgres, needs_redis = settings.hapi_db_url is None, settings.redis_url is None
    return _combine(settings, embedded.start(settings.home, postgres=needs_postgres, redis=needs_redis))


def find_existing(settings: Settings) -> ServerUrls:
    """The same without a start of any server; an embedded Redis need not run.

    Raises:
        ServerUnavailableError: the embedded PostgreSQL is needed and does not run.
    """
    running = embedded.running(settings.home)
    if settings.hapi_db_url is None and not (running and running.postgres_url):
        raise ServerUnavailableError(
            f"HAPI_DB_URL is not set, and no embedded PostgreSQL runs in {settings.home}",
            hint="set HAPI_DB_URL, or LAMBDA_PIPELINE_HOME to the folder of the running servers, or run"
            " lambda-pipeline dev",
        )
    return _combine(settings, embedded.locate(settings.home))


def _combine(settings: Settings, servers: embedded.Servers) -> ServerUrls:
    return ServerUrls(
        hapi_db=settings.hapi_db_url.get_secret_value() if settings.hapi_db_url else servers.postgres_url,
        redis=settings.redis_url.get_secret_value() if settings.redis_url else servers.redis_url,
        embedded_postgres=settings.hapi_db_url is None,
        embedded_redis=settings.redis_url is None,
    )
