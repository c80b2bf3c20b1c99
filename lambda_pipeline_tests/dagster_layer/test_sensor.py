"""Ticks of the capture sensor on real servers."""

import json
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.errors import HapiUnavailableError, RedisUnavailableError, SourceError
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.servers import OwnRedis
from lambda_pipeline_tests.support.worlds import Site

SPEED = dg.AssetKey("speed_layer")


@pytest.fixture
def night(site: Site) -> Site:
    """One patient in a published generation, and a tick that found the overlay missing."""
    site.demo.update(patient("a"))
    assert site.refresh().success
    site.tick()
    return site


def materialized(tick: Any) -> list[dg.AssetMaterialization]:
    return [event for event in tick.asset_events if isinstance(event, dg.AssetMaterialization)]


def checks(tick: Any) -> dict[str, bool]:
    return {
        event.check_name: event.passed
        for event in tick.asset_events
        if isinstance(event, dg.AssetCheckEvaluation) and event.asset_key == SPEED
    }


def test_a_tick_polls_several_times_and_says_what_it_did(night: Site) -> None:
    night.demo.update(patient("b", "female"))
    night.demo.update(patient("c"))
    night.demo.delete("Patient", "a")
    tick = night.tick()
    assert "captured 3 changes, 1 of them deletes; complete up to 20" in tick.skip_message
    (speed,) = materialized(tick)
    assert speed.asset_key == SPEED
    assert speed.metadata["changes"].value == {"Patient": 3}
    assert speed.metadata["deletes"].value == 1
    assert speed.metadata["dagster/row_count"].value == 3
    assert speed.metadata["overlay_bytes"].value > 0
    assert speed.metadata["polls"].value >= 2
    assert 0 < speed.metadata["lag_s"].value < 60
    (record,) = night.instance.fetch_materializations(SPEED, limit=1).records
    assert record.event_log_entry.run_id == ""
    assert set(night.deployment.serving.query("patients").frame["id"]) == {"b", "c"}


def test_a_tick_without_changes_reports_once_in_the_interval(night: Site) -> None:
    first = night.tick()
    assert checks(first) == {"coverage": True, "lag": True, "redis_policy": True, "source": True}
    second = night.tick(first.cursor)
    assert not second.asset_events
    assert "captured 0 changes" in second.skip_message
    night.setenv("LAMBDA_PIPELINE_REPORT_INTERVAL_S", "0.001")
    night.define(PATIENTS, CONDITIONS)
    assert materialized(night.tick(second.cursor))


def test_the_cursor_shows_the_frontier_and_decides_nothing(night: Site) -> None:
    night.demo.update(patient("b"))
    cursor = night.tick().cursor
    frontier = json.loads(cursor)["frontier"]
    night.demo.update(patient("c"))
    for strange in (None, "", "2199-01-01", '{"frontier": 5}', '{"frontier": "x", "reported_at": []}', "[1]"):
        tick = night.tick(strange)
        assert json.loads(tick.cursor)["frontier"] > frontier
    assert night.deployment.serving.query("patients").row_count == 3


def test_changes_since_the_generation_are_caught_up_by_the_first_tick(site: Site) -> None:
    site.demo.update(patient("a"))
    site.refresh()
    site.deployment.overlay.client.flushall()
    site.demo.update(patient("b"))
    tick = site.tick()
    assert "captured 1 change" in tick.skip_message
    assert "overlay rebuilt (there is no overlay in Redis)" in tick.skip_message


def test_without_a_generation_one_is_asked_for_once(site: Site) -> None:
    site.demo.update(patient("a"))
    tick = site.tick()
    (request,) = tick.run_requests
    assert not tick.skip_message
    assert checks(tick)["coverage"] is False
    again = site.tick(tick.cursor)
    assert [each.run_key for each in again.run_requests] == [request.run_key]
    job = site.definitions.resolve_job_def("nightly_refresh")
    queued = site.instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    waiting = site.tick(tick.cursor)
    assert not waiting.run_requests
    assert "no generation is published yet" in waiting.skip_message
    site.instance.delete_run(queued.run_id)
    assert site.refresh().success
    assert "captured 0 changes" in site.tick().skip_message


def test_an_overlay_at_its_limit_asks_for_a_refresh_which_empties_it(night: Site) -> None:
    night.setenv("LAMBDA_PIPELINE_OVERLAY_MAX_ENTRIES", "2")
    night.define(PATIENTS, CONDITIONS)
    for logical_id in ("b", "c", "d"):
        night.demo.update(patient(logical_id))
    tick = night.tick()
    (request,) = tick.run_requests
    assert request.run_key.startswith("after-generation-1-")
    assert checks(tick)["coverage"] is False
    assert night.refresh().success
    after = night.tick()
    assert not after.run_requests
    assert night.deployment.serving.query("patients").row_count == 4


def test_a_refresh_made_elsewhere_is_reported(night: Site) -> None:
    night.demo.update(patient("b"))
    with night.deployment.database.connect() as connection:
        assert night.deployment.refresh().number == 2
        job = night.definitions.resolve_job_def("nightly_refresh")
        night.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        fresh = night.tick()
        assert [event.asset_key for event in materialized(fresh)] == [SPEED], "the run may report it itself"
        connection.execute("UPDATE sqlonfhir.generation SET published_at = published_at - interval '1 minute'")
    tick = night.tick()
    reported = {event.asset_key.to_user_string() for event in materialized(tick)}
    assert reported == {
        "speed_layer", *(f"{layer}/{view}" for layer in ("batch", "merged") for view in ("patients", "conditions")),
        "hapi/Patient", "hapi/Condition",
    }  # fmt: skip
    patients = night.latest("batch", "patients")
    assert patients is not None
    assert (patients.metadata["generation"].value, patients.metadata["dagster/row_count"].value) == (2, 2)
    assert [event.asset_key for event in materialized(night.tick())] == [SPEED]


def test_pruning_is_reported(night: Site) -> None:
    night.demo.update(patient("b"))
    night.tick()
    refresh(night.deployment.database, night.deployment.views, night.deployment.settings)
    tick = night.tick()
    assert "pruned 1 entry" in tick.skip_message
    assert (
        next(event for event in materialized(tick) if event.asset_key == SPEED).metadata["dagster/row_count"].value == 0
    )


def test_redis_down_fails_the_tick_and_nothing_is_lost(site: Site, own_redis: OwnRedis) -> None:
    site.setenv("REDIS_URL", own_redis.url)
    site.define(PATIENTS, CONDITIONS)
    site.demo.update(patient("a"))
    site.refresh()
    cursor = site.tick().cursor
    own_redis.stop()
    site.demo.update(patient("b"))
    with pytest.raises(RedisUnavailableError, match="Redis"):
        site.tick(cursor)
    own_redis.start()
    tick = site.tick(cursor)
    assert "captured 1 change" in tick.skip_message
    assert site.deployment.serving.query("patients").row_count == 2


def latest_checks(site: Site) -> dict[str, tuple[bool, str]]:
    """Each check of the speed layer as the UI shows it: whether it passes, and the reason."""
    keys = [dg.AssetCheckKey(SPEED, name) for name in ("coverage", "lag", "redis_policy", "source")]
    found = site.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    evaluations = {key.name: record.evaluation for key, record in found.items()}
    return {
        name: (each.passed, str(each.metadata["reason"].value) if "reason" in each.metadata else "")
        for name, each in evaluations.items()
        if each is not None
    }


def executions(site: Site) -> int:
    check = dg.AssetCheckKey(SPEED, "coverage")
    return len(site.instance.event_log_storage.get_asset_check_execution_history(check, limit=100))


def test_checks_fail_while_redis_is_down_and_pass_when_it_is_back(site: Site, own_redis: OwnRedis) -> None:
    """The checks kept their last green while every tick failed."""
    site.setenv("REDIS_URL", own_redis.url)
    site.define(PATIENTS, CONDITIONS)
    site.refresh()
    cursor = site.tick().cursor
    assert {name for name, (passed, _) in latest_checks(site).items() if passed} == {
        "coverage", "lag", "redis_policy", "source"
    }  # fmt: skip
    own_redis.stop()
    with pytest.raises(RedisUnavailableError):
        site.tick(cursor)
    for _ in range(2):
        again = site.tick(cursor)
        assert again.skip_message.startswith("still failing [redis-unavailable]: Redis: ")
        assert "\n" not in again.skip_message
        assert again.cursor in (None, cursor)
    found = latest_checks(site)
    assert {name for name, (passed, _) in found.items() if not passed} == {"coverage", "lag", "redis_policy"}
    assert "Redis" in found["coverage"][1]
    assert executions(site) == 2, "a failure that goes on is not reported in every tick"
    own_redis.start()
    site.tick(cursor)
    assert all(passed for passed, _ in latest_checks(site).values())


def test_another_failure_than_before_raises_again(site: Site, own_redis: OwnRedis) -> None:
    site.setenv("REDIS_URL", own_redis.url)
    site.define(PATIENTS, CONDITIONS)
    site.refresh()
    own_redis.stop()
    with pytest.raises(RedisUnavailableError):
        site.tick()
    site.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    own_redis.start()
    site.define(PATIENTS, CONDITIONS)
    with pytest.raises(HapiUnavailableError):
        site.tick()
    assert "still failing [hapi-unavailable]" in site.tick().skip_message


def test_checks_fail_while_hapi_cannot_be_read(night: Site) -> None:
    cursor = night.tick().cursor
    with night.deployment.database.connect() as connection:
        connection.execute("ALTER TABLE hfj_res_ver RENAME TO elsewhere")
    with pytest.raises(SourceError):
        night.tick(cursor)
    found = latest_checks(night)
    assert {name for name, (passed, _) in found.items() if not passed} == {"coverage", "lag", "source"}
    assert "hfj_res_ver" in found["source"][1]


def test_a_tick_works_while_a_run_has_planned_the_same_checks(night: Site) -> None:
    night.instance.create_run_for_job(night.definitions.resolve_implicit_global_asset_job_def())
    assert night.tick().skip_message


def test_an_evicting_redis_is_warned_of(site: Site, own_redis: OwnRedis) -> None:
    site.setenv("REDIS_URL", own_redis.url)
    site.define(PATIENTS, CONDITIONS)
    site.refresh()
    site.deployment.overlay.client.config_set("maxmemory-policy", "allkeys-lru")
    assert checks(site.tick())["redis_policy"] is False


def test_hapi_down_fails_the_tick_with_one_clear_line(night: Site) -> None:
    night.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    with pytest.raises(HapiUnavailableError, match=r"127\.0\.0\.1 database hapi cannot be reached") as raised:
        night.tick()
    assert "swordfish" not in str(raised.value)
