"""`status` and `check`: healthy or not, fit or not, and why."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program
from lambda_pipeline_tests.support.servers import OwnRedis


def test_a_deployment_without_a_generation_is_unhealthy(hapi: DemoHapi, program: Program) -> None:
    asked = program("status")
    assert asked.code == 1
    assert "unhealthy: no generation is published" in asked.err


def test_a_deployment_at_work_is_healthy(published: DemoHapi, program: Program) -> None:
    asked = program("status")
    assert (asked.code, asked.err) == (0, "")
    assert "healthy" in asked.out
    assert "coverage    complete" in asked.out


def test_status_as_json_has_everything(published: DemoHapi, program: Program) -> None:
    published.load([named_patient("fritz", "male"), named_patient("gerd", "male")])
    write_raw(published, "Patient", "gone", None, encoding="ESR")
    program("poll")
    asked = program("status", "--json")
    status = json.loads(asked.out)
    assert asked.code == 0
    assert status["healthy"] is True
    assert status["generation"]["number"] == 1
    assert status["frontier"] > status["generation"]["valid_as_of"]
    assert 0 <= status["lag_s"] < 60
    assert status["sources"] == ["batch generation 1", "overlay"]
    assert status["overlay"]["entries"]["Patient"] == 3
    assert status["overlay"]["bytes"] > 0
    assert status["overlay"]["gap"] == ""
    assert {each["resource"] for each in status["quarantined"]} == {"Patient/gone"}
    views = {view["name"]: view for view in status["views"]}
    assert views["patient_simple"]["rows"] == 5
    assert views["patient_simple"]["state"] == "published"
    assert views["patient_simple"]["made"] == "full"
    assert len(views["patient_simple"]["digest"]) == 64


def test_a_lost_overlay_is_unhealthy(published: DemoHapi, program: Program, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    asked = program("status")
    assert asked.code == 1
    assert "gap: there is no overlay in Redis" in asked.out
    assert json.loads(program("status", "--json").out)["healthy"] is False
    program("poll")
    assert program("status").code == 0


def test_a_redis_that_is_down_is_unhealthy(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")
    asked = program("status")
    assert asked.code == 1
    assert "Redis cannot be used" in asked.out


def test_a_frontier_that_stands_still_is_unhealthy(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_FRESHNESS_TARGET_S", "0.000001")
    asked = program("status")
    assert asked.code == 1
    assert "is the sensor capture_changes running?" in asked.err


def test_an_overlay_that_no_poll_fitted_to_the_generation_is_unhealthy_only_if_that_lasts(
    published: DemoHapi, program: Program, redis_url: str, database_url: str
) -> None:
    published.load([named_patient("fritz", "male")])
    program("poll")
    with redis.Redis.from_url(redis_url) as client:
        client.hset("lambda_pipeline:state", "compared_with", "0")
    lately = program("status")
    assert (lately.code, lately.err) == (0, "")
    assert "coverage    waiting: no poll has compared the overlay with generation 1 yet" in lately.out
    assert "note        no poll has compared the overlay with generation 1 yet: the next poll does" in lately.out
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE sqlonfhir.generation SET published_at = published_at - interval '1 hour'")
    long = program("status")
    assert long.code == 1
    assert "unhealthy: no poll has compared the overlay with generation 1 yet, 3,6" in long.err
    assert json.loads(program("status", "--json").out)["overlay"]["waiting"]
    program("poll")
    assert program("status").code == 0


def test_without_the_speed_layer_there_is_nothing_to_poll(
    hapi: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_SPEED_LAYER", "false")
    program("refresh")
    asked = program("status")
    assert asked.code == 0
    assert "the speed layer is off" in asked.out


def test_check_finds_nothing_wrong_with_what_works(published: DemoHapi, program: Program) -> None:
    asked = program("check")
    assert asked.code == 0
    assert {line.split()[0] for line in asked.out.splitlines()} == {"ok"}
    assert "schema of HAPI 8.4 or newer, 8 resources" in asked.out


def test_check_names_a_database_that_is_not_hapis(
    program: Program, new_database: Callable[..., str], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", new_database())
    monkeypatch.setenv("REDIS_URL", redis_url)
    asked = program("check")
    assert asked.code == 1
    assert "fail HAPI's tables: HAPI's tables hfj_resource" in asked.out
    refused = program("refresh")
    assert refused.code == 2
    assert "hfj_resource" in refused.complaint


@pytest.mark.parametrize("stranger", ["HAPI_DB_URL", "REDIS_URL"])
def test_check_ends_with_2_when_a_server_cannot_be_reached_and_looks_at_the_other(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch, stranger: str
) -> None:
    unreachable = {
        "HAPI_DB_URL": "postgresql://nobody:secret@127.0.0.1:1/hapi",
        "REDIS_URL": "redis://:secret@127.0.0.1:1/0",
    }
    monkeypatch.setenv(stranger, unreachable[stranger])
    asked = program("check")
    assert asked.code == 2
    failed = [line for line in asked.out.splitlines() if line.startswith("fail")]
    assert len(failed) == 1
    assert "cannot be reached" in failed[0]
    assert "secret" not in asked.out + asked.err
    assert "ok   Redis: " in asked.out or "ok   PostgreSQL: " in asked.out


def test_check_sees_stamps_from_the_future(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_SOURCE_TIMEZONE", "America/New_York")
    asked = program("check")
    assert asked.code == 1
    assert "in the future" in asked.out
    monkeypatch.setenv("LAMBDA_PIPELINE_SOURCE_TIMEZONE", "Mars/Olympus_Mons")
    asked = program("check")
    assert asked.code == 2
    assert "LAMBDA_PIPELINE_SOURCE_TIMEZONE" in asked.complaint


def test_check_tells_of_bodies_with_nul_and_of_ids_an_upgrade_left_open(
    hapi: DemoHapi, program: Program, database_url: str
) -> None:
    write_raw(hapi, "Patient", "nul", '{"resourceType":"Patient","name":[{"family":"A\\u0000B"}]}')
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hfj_resource SET fhir_id = NULL WHERE fhir_id = 'adam'")
    asked = program("check")
    assert asked.code == 0
    assert "1 of the newest 9 versions hold \\u0000" in asked.out
    assert "warn logical ids" in asked.out


def test_check_sees_large_objects(hapi: DemoHapi, program: Program) -> None:
    write_raw(hapi, "Patient", "old", None, encoding="JSON", large_object=b'{"resourceType":"Patient"}')
    asked = program("check")
    assert asked.code == 0
    assert "ok   large objects: 1 current bodies are stored in some, and they can be read" in asked.out


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAMBDA_PIPELINE_POLL_INTERVAL_S", "abc"),
        ("LAMBDA_PIPELINE_TTL_HOURS_BY_TYPE", "abc"),
        ("LAMBDA_PIPELINE_TTL_HOURS_BY_TYPE", '{"Observation": "abc"}'),
        ("LAMBDA_PIPELINE_NIGHTLY_CRON", "abc"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    program: Program, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    asked = program("check")
    assert (asked.code, asked.out) == (2, "")
    assert variable in asked.complaint
    assert "abc" not in asked.complaint


@pytest.mark.parametrize("value", ["0 2 * * *", "*/15 1-5 1,15 * MON-FRI", "@daily"])
def test_a_cron_expression_is_one(program: Program, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_NIGHTLY_CRON", value)
    assert Settings().nightly_cron == value


def test_a_folder_of_views_that_is_not_there_retires_none(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(tmp_path / "nowhere"))
    asked = program("refresh")
    assert asked.code == 2
    assert "nowhere is not a folder" in asked.complaint
    monkeypatch.delenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS")
    assert program("query", "patient_simple", "--count").out == "5\n"


def test_check_wants_a_redis_that_forgets_nothing(
    hapi: DemoHapi, program: Program, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert "warn Redis memory" in program("check").out
        client.config_set("maxmemory", "100mb")
        client.config_set("appendonly", "no")
        asked = program("check")
    assert asked.code == 1
    assert "fail Redis memory" in asked.out
    assert "policy allkeys-lru" in asked.out
    assert "warn Redis persistence" in asked.out


def test_check_names_every_problem_of_the_view_definitions(
    hapi: DemoHapi, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.json").write_text('{"resourceType": "ViewDefinition", "resource": "Patient", "select": []}')
    (tmp_path / "worse.json").write_text("{")
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(tmp_path))
    asked = program("check")
    assert asked.code == 1
    assert "fail views: broken.json" in asked.out
    assert "fail views: worse.json" in asked.out
    assert "ok   PostgreSQL" in asked.out
