"""Dagster's failures reach somebody: failed runs, failing ticks, failed checks; and their end."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline.orchestration.assets import SPEED_LAYER
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.dagster_layer.test_checks import tamper
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.listeners import Webhook, webhook
from lambda_pipeline_tests.support.servers import OwnRedis
from lambda_pipeline_tests.support.worlds import Site


@pytest.fixture
def hook(site: Site) -> Iterator[Webhook]:
    """The webhook that the site's notices go to."""
    with webhook() as listener:
        site.setenv("LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL", listener.url)
        site.define(PATIENTS, CONDITIONS)
        yield listener


def tell_of(site: Site, run: dg.ExecuteInProcessResult) -> None:
    """The sensors' look at a run that has ended."""
    stored = site.instance.get_run_by_id(run.run_id)
    assert stored is not None
    *_, event = [each for each in run.all_events if each.is_job_event]
    name = "tell_of_recovered_runs" if run.success else "tell_of_failed_runs"
    context = dg.build_run_status_sensor_context(
        sensor_name=name, dagster_instance=site.instance, dagster_run=stored, dagster_event=event
    )
    sensor = site.definitions.resolve_sensor_def(name)
    assert isinstance(sensor, dg.RunStatusSensorDefinition)
    sensor(context if run.success else context.for_run_failure())


def look_at_checks(site: Site, cursor: str | None = None) -> Any:
    sensor = site.definitions.resolve_sensor_def("tell_of_failed_checks")
    repository = site.definitions.get_repository_def()
    with dg.build_sensor_context(instance=site.instance, cursor=cursor, repository_def=repository) as context:
        return sensor.evaluate_tick(context)


def test_without_a_channel_there_are_no_such_sensors() -> None:
    assert [sensor.name for sensor in build_definitions(Settings()).sensors or ()] == ["capture_changes"]


def test_a_failed_run_is_told_with_code_reason_and_ways_out_and_its_end_too(site: Site, hook: Webhook) -> None:
    tamper(site, "ALTER TABLE hfj_res_ver RENAME TO elsewhere")
    failed = site.refresh()
    tell_of(site, failed)
    (body,) = hook.received
    assert (body["subject"], body["code"]) == ("job nightly_refresh", "source")
    assert "hfj_res_ver are missing" in body["reason"]
    assert failed.run_id in body["reason"]
    assert body["ways_out"]
    tamper(site, "ALTER TABLE elsewhere RENAME TO hfj_res_ver")
    tell_of(site, site.refresh())
    assert hook.states == [("job nightly_refresh", "failing"), ("job nightly_refresh", "over")]


def test_a_failed_comparison_is_told_without_a_key_of_a_resource(site: Site, night: Site, hook: Webhook) -> None:
    tamper(night, "UPDATE sqlonfhir.patients__1 SET gender = 'swordfish' WHERE id = 'b'")
    tell_of(night, night.run("parity_check", {"everything": True}))
    (body,) = hook.received
    assert body["code"] == "parity-mismatch"
    assert not {"Patient/b", "swordfish"} & set(str(body).replace(",", " ").split())


def test_a_failed_question_is_told_to_nobody(site: Site, hook: Webhook) -> None:
    tell_of(site, site.run("view_query", {"view": "patients"}))
    assert not hook.received


def test_a_refresh_that_keeps_failing_is_told_while_it_is_repeated(site: Site, hook: Webhook) -> None:
    for name, value in {"FOR": "0.5", "FIRST": "0.01", "LONGEST": "0.05"}.items():
        site.setenv(f"LAMBDA_PIPELINE_REFRESH_RETRY_{name}_S", value)
    site.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    assert not site.refresh().success
    assert hook.states == [("job nightly_refresh", "failing")]
    assert hook.received[0]["reason"].startswith("attempt 3 failed [hapi-unavailable]")
    assert "swordfish" not in str(hook.received).replace("hooks/swordfish", "")


def test_failing_ticks_are_told_once_and_so_is_their_end(site: Site, hook: Webhook, own_redis: OwnRedis) -> None:
    site.setenv("REDIS_URL", own_redis.url)
    site.define(PATIENTS, CONDITIONS)
    site.refresh()
    cursor = site.tick().cursor
    own_redis.stop()
    with pytest.raises(RedisUnavailableError):
        site.tick(cursor)
    own_redis.start()
    site.tick(cursor)
    assert hook.states == [("sensor capture_changes", "failing"), ("sensor capture_changes", "over")]
    assert hook.received[0]["code"] == "redis-unavailable"
    look_at_checks(site)
    assert len(hook.received) == 2


def test_failed_checks_are_told_by_asset_once_and_so_is_their_end(night: Site, hook: Webhook) -> None:
    cursor = look_at_checks(night).cursor
    tamper(night, "UPDATE sqlonfhir.patients__1 SET gender = 'swordfish' WHERE id = 'b'")
    assert night.refresh().success
    cursor = look_at_checks(night, cursor).cursor
    cursor = look_at_checks(night, cursor).cursor
    (body,) = hook.received
    assert (body["subject"], body["reason"]) == ("check parity", "fails for batch/patients, merged/patients")
    assert night.run("nightly_refresh", {"ops": {"batch_views": {"config": {"full": True}}}}).success
    look_at_checks(night, cursor)
    assert hook.states == [("check parity", "failing"), ("check parity", "over")]


def test_a_tick_that_was_late_once_is_told_to_nobody(night: Site, hook: Webhook) -> None:
    """The first tick after a start is behind by the time that Dagster was down."""
    for passed in (True, False, True, False, False):
        night.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=SPEED_LAYER, check_name="lag", passed=passed, severity=dg.AssetCheckSeverity.WARN
            )
        )
        look_at_checks(night)
    assert hook.states == [("check lag", "failing")]


def test_a_check_that_was_held_back_is_told_later(night: Site, hook: Webhook) -> None:
    night.setenv("LAMBDA_PIPELINE_NOTIFY_INTERVAL_S", "0.2")
    night.define(PATIENTS, CONDITIONS)
    for view in ("patients", "conditions"):
        tamper(night, f"UPDATE sqlonfhir.{view}__1 SET id = id || 'x'")
        assert night.refresh().success
        result = look_at_checks(night)
    while len(hook.received) < 2:
        result = look_at_checks(night, result.cursor)
    assert hook.received[-1]["reason"] == (
        "fails for batch/conditions, batch/patients, merged/conditions, merged/patients"
    )
