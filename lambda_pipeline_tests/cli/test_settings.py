"""Settings that are misspelt or impossible are named by every command, before anything is started or asked."""

import pytest

from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline_tests.support.programs import Program


@pytest.mark.parametrize("command", [("status",), ("check",), ("query", "patient_simple"), ("refresh",)])
@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LAMBDA_PIPELINE_POL_INTERVAL_S", "LAMBDA_PIPELINE_POLL_INTERVAL_S"),
        ("LAMBDA_PIPELINE_NIGHTLY_CORN", "LAMBDA_PIPELINE_NIGHTLY_CRON"),
        ("LAMBDA_PIPELINE_REDIS_URL", "REDIS_URL"),
    ],
)
def test_a_misspelt_variable_is_an_error_that_names_the_one_that_was_meant(
    program: Program, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], variable: str, meant: str
) -> None:
    """LAMBDA_PIPELINE_POL_INTERVAL_S=5 was ignored without a word."""
    monkeypatch.setenv(variable, "swordfish")
    asked = program(*command)
    assert (asked.code, asked.out) == (2, "")
    assert f"{variable}: there is no such setting; did you mean {meant}?" in asked.complaint
    assert "swordfish" not in asked.err


def test_a_variable_that_is_like_none_is_an_error_too(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_COFFEE", "black")
    assert program("status").complaint == (
        "lambda-pipeline: LAMBDA_PIPELINE_COFFEE: there is no such setting (see docs/settings.md)"
    )


@pytest.mark.parametrize(
    "name",
    [
        *(f"LAMBDA_PIPELINE_{field}".upper() for field in Settings.model_fields if not field.endswith("_url")),
        "lambda_pipeline_home",
        "LAMBDA_PIPELINE_DAGSTER_DIR",
        "LAMBDA_PIPELINE_SERVICE_HOST",
        "LAMBDA_PIPELINE_SERVICE_PORT_HTTP",
        "LAMBDA_PIPELINE_PORT",
        "LAMBDA_PIPELINE_UI_PORT_3000_TCP_ADDR",
        "MY_LAMBDA_PIPELINE_THING",
    ],
)
def test_settings_and_what_launcher_and_kubernetes_set_are_known(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("lambda_pipeline.settings.Settings.__init__", lambda _: None)
    monkeypatch.setenv(name, "1")
    assert load_settings()


@pytest.mark.parametrize("command", ["status", "check"])
@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "0 25 * * *", "its hour is not within 0 to 23"),
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "0 0 31 4 *", "never comes true"),
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "*/0 * * * *", "the step of its minute is not within 1 to 59"),
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "0 2 * * *  swordfish", "of five fields"),
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "0 2 * swordfish *", "its month is not within 1 to 12"),
        ("LAMBDA_PIPELINE_TIMEZONE", "Swordfish/Zurich", "not a time zone of the IANA database"),
        ("LAMBDA_PIPELINE_SOURCE_TIMEZONE", "+25", "not a time zone of the IANA database"),
        ("HAPI_DB_URL", "swordfish", "not a URL such as postgresql://"),
        ("HAPI_DB_URL", "mysql://u:swordfish@db/hapi", "not a URL of PostgreSQL"),
        ("HAPI_DB_URL", "postgresql://u:swordfish@db:99999/hapi", "its port is not one of 1 to 65535"),
        ("HAPI_DB_URL", "", "not a URL"),
        (
            "DAGSTER_PG_URL",
            "postgres://u:swordfish@db/dagster",
            "not a URL of PostgreSQL; it begins with postgresql://",
        ),
        ("REDIS_URL", "swordfish:6379", "begins with none of redis://, rediss://, unix://"),
        ("REDIS_URL", "redis://:sword/fish@redis:6379/0", "escape special characters of a password"),
        ("REDIS_URL", "redis://redis:99999/0", "host or port cannot be read"),
        ("REDIS_URL", "redis://redis:6379/swordfish", "its path is not the number of a database"),
        ("REDIS_URL", "unix://", "it names no socket"),
    ],
)
def test_a_setting_that_cannot_work_is_found_by_status_and_check(
    program: Program, monkeypatch: pytest.MonkeyPatch, command: str, variable: str, value: str, reason: str
) -> None:
    """A cron expression with an hour of 25 was found by nothing until Dagster did not load."""
    monkeypatch.setenv(variable, value)
    asked = program(command)
    assert (asked.code, asked.out) == (2, "")
    assert asked.complaint.startswith(f"lambda-pipeline: {variable}: ")
    assert reason in asked.complaint
    assert not {"swordfish", "sword", "Swordfish"} & set(asked.complaint.replace("/", " ").replace(":", " ").split())


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://localhost/", "redis://:p%2Fw@redis.example.org:6379/3", "rediss://u:p@h:6380/0",
        "unix:///run/redis.sock?db=2", "unix:///run/redis.sock", "redis://[::1]:6379/0", "redis://h/0?protocol=3",
    ],
)  # fmt: skip
def test_urls_of_redis_that_work_are_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert load_settings().redis_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lambda_pipeline@db.example.org/hapi", "postgresql+psycopg2://u:p@h:5432/d", "postgresql:///hapi",
        "postgresql://u@/hapi?host=/run/postgresql", "postgresql://u:p%40w@[::1]:5432/hapi?sslmode=require",
    ],
)  # fmt: skip
def test_urls_of_postgresql_that_work_are_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HAPI_DB_URL", url)
    monkeypatch.setenv("DAGSTER_PG_URL", url)
    assert load_settings().hapi_db_url
