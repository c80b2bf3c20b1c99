"""The overlay in Redis: all or nothing, one writer at a time, and nothing lost unnoticed."""

import threading
from collections.abc import Callable

import pytest
import redis

from lambda_pipeline.errors import ConfigurationError, CoverageGapError, RedisUnavailableError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import ResourceKey
from lambda_pipeline.speed import poll as poll_module
from lambda_pipeline.speed.entry import key_of, member
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline_tests.conftest import OwnRedis
from lambda_pipeline_tests.pipeline.conftest import World, patient


def started(world: World) -> World:
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    return world


def test_two_pollers_at_once_publish_every_change_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds the revision changed, and starts over."""
    started(world)
    other = Poller(world.database, world.overlay, world.views, world.settings)
    flatten_changes = poll_module.flatten_changes
    interrupted: list[int] = []

    def interrupt(*arguments: object) -> object:
        entries = flatten_changes(*arguments)  # type: ignore[arg-type]
        if not interrupted:
            interrupted.append(1)
            world.demo.update(patient("c"))
            assert other.poll().captured == {"Patient": 2}
        return entries

    monkeypatch.setattr(poll_module, "flatten_changes", interrupt)
    world.demo.update(patient("b"))
    assert world.poll().count == 0
    assert world.serving.query("patients").row_count == 3
    world.assert_exact()


def test_many_pollers_in_threads_lose_nothing(world: World) -> None:
    started(world)
    failures: list[Exception] = []

    def poll() -> None:
        capture = Poller(world.database, world.overlay, world.views, world.settings)
        try:
            for _ in range(10):
                capture.poll()
        except poll_module.CaptureError:
            pass  # the others were always first: a documented outcome
        except Exception as error:  # noqa: BLE001 (handed to the main thread)
            failures.append(error)

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        world.demo.update(patient(f"n{number}"))
    for thread in threads:
        thread.join()
    world.poll()
    assert not failures
    assert world.serving.query("patients").row_count == 21
    world.assert_exact()


def test_a_full_redis_refuses_loudly_and_keeps_what_it_had(
    make_world: Callable[..., World], own_redis: OwnRedis
) -> None:
    world = started(make_world(own_redis.url))
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    before = world.overlay.read_status().state
    world.demo.load([patient(f"n{number}", name=[{"family": "x" * 2000}]) for number in range(300)])
    with pytest.raises(RedisUnavailableError):
        world.poll()
    assert world.overlay.read_status().state == before
    assert world.serving.query("patients").row_count == 1
    client.config_set("maxmemory", 0)
    assert world.poll().count == 300
    world.assert_exact()


@pytest.mark.parametrize("persist", [True, False])
def test_a_restarted_redis_is_a_gap_until_the_next_poll(
    make_world: Callable[..., World], own_redis: OwnRedis, persist: bool
) -> None:
    world = started(make_world(own_redis.url, read_source_on_gap=False))
    world.demo.update(patient("b"))
    world.poll()
    own_redis.restart(persist=persist)
    with pytest.raises(CoverageGapError):
        world.serving.query("patients")
    assert world.poll().rebuilt
    assert world.serving.query("patients").row_count == 2


def test_another_pipelines_overlay_is_no_overlay_of_ours(make_world: Callable[..., World]) -> None:
    """Two databases behind one Redis: each poll makes the overlay anew, and no answer mixes them."""
    first, second = started(make_world()), started(make_world())
    second.demo.update(patient("b"))
    second.poll()
    answer = first.serving.query("patients")
    assert answer.row_count == 1
    assert answer.sources == ("batch generation 1", "hapi")
    assert "another database" in answer.notes[0]


def test_beyond_its_budget_the_overlay_asks_for_a_refresh_and_stays_true(make_world: Callable[..., World]) -> None:
    world = started(make_world(overlay_max_entries=10))
    world.demo.load([patient(f"n{number}") for number in range(11)])
    poll = world.poll()
    assert (poll.over_budget, poll.count) == (True, 0)
    answer = world.serving.query("patients")
    assert answer.row_count == 1
    world.refresh()
    assert world.serving.query("patients").row_count == 12
    assert not world.poll().over_budget
    world.assert_exact()


def test_memory_returns_after_a_publication(world: World) -> None:
    started(world)
    before = world.overlay.size_bytes(world.overlay.read_status().state)
    world.demo.load([patient(f"n{number}", name=[{"family": "x" * 500}]) for number in range(200)])
    world.poll()
    grown = world.overlay.size_bytes(world.overlay.read_status().state)
    assert grown > before + 200 * 500
    world.refresh()
    world.poll()
    assert world.overlay.size_bytes(world.overlay.read_status().state) <= before + 512
    assert not [name for name in world.overlay.client.keys("*") if ":stage:" in name or name.startswith("fhir:")]


def test_entries_of_a_partition_have_their_own_key(world: World) -> None:
    key = ResourceKey(7, "Patient", "a/b")
    assert key_of("Patient", member(key)) == key


def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        Overlay("http://localhost", Settings())


def test_without_the_marks_of_the_polls_nothing_stale_is_served(world: World) -> None:
    """The entry "female" was captured before a generation that holds "other"; only the polls' marks tell."""
    started(world).demo.update(patient("a", "female"))
    world.poll()
    world.demo.update(patient("a", "other"))
    world.refresh()
    world.overlay.client.delete(f"{world.overlay.prefix}polls")
    assert world.serving.query("patients").frame["gender"].tolist() == ["other"]
    world.poll()
    world.assert_exact()


def test_lost_marks_of_polls_are_repaired_by_the_next_poll(world: World) -> None:
    """Without new entries the next poll must notice by itself; with some, what it adds must not hide the loss."""
    started(world).demo.update(patient("a", "female"))
    world.poll()
    for change in (False, True):
        world.overlay.client.delete(f"{world.overlay.prefix}polls")
        if change:
            world.demo.update(patient("b", "female"))
        assert world.poll().rebuilt
        assert "overlay" in world.serving.query("patients").sources
        world.assert_exact()


def test_a_loss_right_before_pruning_is_not_counted_away(world: World) -> None:
    started(world).demo.update(patient("b", "female"))
    world.poll()
    generation = world.refresh()
    world.demo.update(patient("c"))
    world.poll()
    for name in world.overlay.client.keys(f"{world.overlay.prefix}*Patient") + world.overlay.client.keys(
        f"{world.overlay.prefix}rows:*"
    ):
        world.overlay.client.delete(name)
    assert world.overlay.prune(generation.number, generation.mark).forgotten == 0
    assert world.serving.query("patients").row_count == 3
    assert world.poll().rebuilt
    world.assert_exact()
