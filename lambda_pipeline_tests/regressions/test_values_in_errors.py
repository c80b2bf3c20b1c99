"""Errors of servers become errors of ours without their text, wherever that can hold a value or an id."""

import ast
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

import lambda_pipeline
from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.servers import OwnRedis
from lambda_pipeline_tests.support.worlds import World

MARK = "Zqxmark"
PACKAGE = Path(lambda_pipeline.__file__).parent


def test_no_error_has_a_cause() -> None:
    """Dagster keeps the causes of an error in its database, with the driver's text."""
    chained = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.cause, ast.Name)
    ]
    assert not chained


def test_a_refresh_that_fails_on_a_value_does_not_quote_it(
    published_cohort: World, caplog: pytest.LogCaptureFixture
) -> None:
    with published_cohort.database.connect() as connection:
        connection.execute("""
            CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'no %', NEW.family; END $$;
            CREATE TRIGGER quote BEFORE INSERT ON sqlonfhir.patients__1 FOR EACH ROW EXECUTE FUNCTION quote()
        """)
    published_cohort.demo.update(patient("d", name=[{"family": MARK}]))
    with caplog.at_level(logging.DEBUG):
        published_cohort.refresh()
    assert "SQLSTATE P0001" in caplog.text
    assert MARK not in caplog.text


def test_a_redis_without_memory_is_told_without_the_command(
    make_world: Callable[..., World], own_redis: OwnRedis
) -> None:
    world = make_world(own_redis.url)
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
    world.demo.update(patient(MARK))
    with pytest.raises(RedisUnavailableError, match="no memory left") as raised:
        world.poll()
    assert MARK not in "".join(traceback.format_exception(raised.value))
