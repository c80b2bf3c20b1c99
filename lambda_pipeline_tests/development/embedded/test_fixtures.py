"""The servers other tests stand on."""

from collections.abc import Callable

import psycopg
import pytest
import redis

from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.servers import OwnRedis


def test_a_new_database_is_empty_and_a_template_is_copied(new_database: Callable[..., str]) -> None:
    template = new_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE thing AS SELECT 1 AS n")
    with psycopg.connect(new_database(template)) as connection:
        assert connection.execute("SELECT n FROM thing").fetchall() == [(1,)]
    with psycopg.connect(new_database()) as connection:
        assert connection.execute("SELECT to_regclass('thing')").fetchone() == (None,)


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_when_a_test_begins(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", turn)


def test_own_redis_restarts_with_or_without_what_it_had(own_redis: OwnRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("key", "value")
        own_redis.restart(persist=True)
        assert client.get("key") == b"value"
        own_redis.restart(persist=False)
        assert client.dbsize() == 0
        own_redis.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_configured_servers_are_hidden_from_tests() -> None:
    settings = load_settings()
    assert settings.hapi_db_url is None
    assert settings.redis_url is None
