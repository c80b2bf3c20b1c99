"""A refresh that is repeated: how long it waits, what it repeats, and what it says when it gives up."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from lambda_pipeline.batch.refresh import REFRESH_LOCK
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.errors import HapiUnavailableError, RefreshError, RefreshInProgressError
from lambda_pipeline.operations.persistent_refresh import FailedAttempt, refresh_persistently, wait_before_attempt
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.worlds import World


@contextmanager
def deployed(world: World, hapi: str, **settings: float) -> Iterator[Deployment]:
    urls = ServerUrls(hapi, "unix:///nowhere/redis.sock", embedded_postgres=False, embedded_redis=False)
    with Deployment(urls, world.views, Settings(speed_layer=False, **settings)) as deployment:  # type: ignore[arg-type]
        yield deployment


@contextmanager
def lock_held(database_url: str) -> Iterator[psycopg.Connection]:
    """Another refresh that does not end before the block, or before its connection is closed."""
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [REFRESH_LOCK])
        yield other


def test_waits_double_up_to_the_longest_and_fill_hours() -> None:
    settings = Settings()
    assert [wait_before_attempt(number, settings) for number in (1, 2, 3, 4, 8, 9, 5_000)] == [
        0, 10, 20, 40, 640, 900, 900,
    ]  # fmt: skip
    assert settings.refresh_retry_for_s == 4 * 3600


def test_a_refresh_is_repeated_until_the_server_is_free(empty_world: World, database_url: str) -> None:
    said: list[str] = []
    with (
        lock_held(database_url) as other,
        deployed(
            empty_world,
            database_url,
            refresh_lock_timeout_s=0,
            refresh_retry_first_s=0.01,
            refresh_retry_longest_s=0.02,
        ) as deployment,
    ):

        def warn(attempt: FailedAttempt) -> None:
            said.append(str(attempt))
            if len(said) == 3:
                other.close()

        assert refresh_persistently(deployment, full=False, warn=warn).number == 1
    assert said[0].startswith("attempt 1 failed [refresh-in-progress]: another refresh is running")
    assert len(said) == 3


def test_it_gives_up_after_its_time_and_says_how_often_it_tried(empty_world: World) -> None:
    said: list[str] = []
    gone = "postgresql://nobody:swordfish@127.0.0.1:1/hapi"
    with (
        deployed(empty_world, gone, refresh_retry_for_s=0.2, refresh_retry_first_s=0.02) as deployment,
        pytest.raises(HapiUnavailableError, match=r"given up after \d+ attempts in") as raised,
    ):
        refresh_persistently(deployment, full=False, warn=lambda attempt: said.append(str(attempt)))
    assert len(said) >= 2
    assert "swordfish" not in f"{said} {raised.value}"


@pytest.mark.parametrize("retry_for_s", [0.0, 3_600.0])
def test_what_waiting_cannot_mend_is_raised_at_once(empty_world: World, database_url: str, retry_for_s: float) -> None:
    said: list[str] = []
    with deployed(empty_world, database_url, refresh_retry_for_s=retry_for_s) as deployment:
        deployment.refresh()
        with deployment.database.connect() as connection:
            connection.execute("ALTER TABLE hfj_res_ver RENAME TO elsewhere")
        with pytest.raises(RefreshError, match="hfj_res_ver"):
            refresh_persistently(deployment, full=False, warn=lambda attempt: said.append(str(attempt)))
    assert not said


def test_a_second_refresh_waits_for_the_first(
    empty_world: World, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lambda_pipeline.batch.refresh")
    made: list[int] = []
    with lock_held(database_url) as other, deployed(empty_world, database_url) as deployment:
        second = threading.Thread(target=lambda: made.append(deployment.refresh().number))
        second.start()
        while "waiting up to" not in caplog.text:
            assert second.is_alive()
        assert not made
        other.close()
        second.join(10)
    assert made == [1]


def test_without_a_wait_a_second_refresh_is_refused(empty_world: World, database_url: str) -> None:
    with (
        lock_held(database_url),
        deployed(empty_world, database_url, refresh_lock_timeout_s=0) as deployment,
        pytest.raises(RefreshInProgressError),
    ):
        deployment.refresh()
