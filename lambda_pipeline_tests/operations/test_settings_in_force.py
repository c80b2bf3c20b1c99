"""Settings as an operator sees them: no secret in any form."""

import pytest

from lambda_pipeline.operations.settings_in_force import mask_url, settings_in_force
from lambda_pipeline.settings import Settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:swordfish@db:5432/hapi", "postgresql://me:***@db:5432/hapi"),
        ("postgresql://me:sword@fish:x@db/hapi", "postgresql://me:***@db/hapi"),
        ("postgresql://me@db/hapi?sslmode=require", "postgresql://me@db/hapi?sslmode=require"),
        ("postgresql:///hapi?host=/run&password=swordfish", "postgresql:/hapi?host=/run&password=***"),
        ("redis://:swordfish@cache:6379/0", "redis://:***@cache:6379/0"),
        ("unix:///run/redis.sock?db=0&password=swordfish", "unix:/run/redis.sock?db=0&password=***"),
        ("smtps://me:swordfish@[::1]:465", "smtps://me:***@[::1]:465"),
        ("postgresql://me:swordfish@db:port/hapi", "***"),
        ("swordfish", "***"),
    ],
)
def test_a_password_is_hidden_wherever_a_url_has_it(url: str, shown: str) -> None:
    assert mask_url(url).replace(":///", ":/") == shown


def test_every_setting_is_shown_with_its_variable_and_its_origin() -> None:
    environment = {"REDIS_URL": "redis://:swordfish@cache/0", "lambda_pipeline_pool_size": "7"}
    settings = Settings(redis_url=environment["REDIS_URL"], pool_size=7, freshness_target_s=float("inf"))
    found = {each.name: each for each in settings_in_force(settings, environment)}
    assert set(found) == set(Settings.model_fields)
    assert (found["redis_url"].variable, found["redis_url"].value) == ("REDIS_URL", "redis://:***@cache/0")
    assert (found["pool_size"].variable, found["pool_size"].value) == ("LAMBDA_PIPELINE_POOL_SIZE", 7)
    assert {name for name, each in found.items() if each.origin == "environment"} == {"redis_url", "pool_size"}
    assert found["freshness_target_s"].value == "inf"
    assert found["hapi_db_url"].value is None


def test_no_secret_is_shown() -> None:
    secret = dict.fromkeys(("notify_webhook_url",), "https://swordfish:swordfish@host/swordfish")
    settings = Settings(
        hapi_db_url="postgresql://me:swordfish@db/hapi",
        dagster_pg_url="postgresql+psycopg2://me:swordfish@db/dagster",
        redis_url="rediss://me:swordfish@cache",
        notify_smtp_url="smtp://me:swordfish@mail",
        notify_mail_to=("a@x.org",),
        **secret,
    )
    shown = str([each.as_json() for each in settings_in_force(settings, {})])
    assert "swordfish" not in shown
    assert "https://host/***" in shown
