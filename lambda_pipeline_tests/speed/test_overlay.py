"""The overlay in Redis: all or nothing, one writer at a time, and nothing lost unnoticed."""

import threading
from collections.abc import Callable

import pytest
import redis

from lambda_pipeline.errors import ConfigurationError, CoverageGapError, RedisUnavailableError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import ResourceKey
from lambda_pipeline.source.snapshot import marked_snapshot
from lambda_pipeline.speed import poll as poll_module
from lambda_pipeline.speed.entry import key_of, member
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.servers import OwnRedis
from lambda_pipeline_tests.support.worlds import World


def started(world: World) -> World:
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    return world


def test_two_pollers_at_once_publish_every_change_once(empty_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds the revision changed, and starts over."""
    started(empty_world)
    other = Poller(empty_world.database, empty_world.overlay, empty_world.views, empty_world.settings)
    flatten_changes = poll_module.flatten_changes
    interrupted: list[int] = []

    def interrupt(*arguments: object) -> object:
        entries = flatten_changes(*arguments)  # type: ignore[arg-type]
        if not interrupted:
            interrupted.append(1)
            empty_world.demo.update(patient("c"))
            assert other.poll().captured == {"Patient": 2}
        return entries

    monkeypatch.setattr(poll_module, "flatten_changes", interrupt)
    empty_world.demo.update(patient("b"))
    assert empty_world.poll().count == 0
    assert empty_world.serving.query("patients").row_count == 3
    empty_world.assert_exact()


def test_many_pollers_in_threads_lose_nothing(empty_world: World) -> None:
    started(empty_world)
    failures: list[Exception] = []

    def poll() -> None:
        capture = Poller(empty_world.database, empty_world.overlay, empty_world.views, empty_world.settings)
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
        empty_world.demo.update(patient(f"n{number}"))
    for thread in threads:
        thread.join()
    empty_world.poll()
    assert not failures
    assert empty_world.serving.query("patients").row_count == 21
    empty_world.assert_exact()


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


def test_the_memory_of_each_type_is_counted(empty_world: World) -> None:
    state = started(empty_world).overlay.read_status().state
    assert state is not None
    before = empty_world.overlay.bytes_by_type(state)
    for number in range(300):
        empty_world.demo.update(patient(f"p{number}"))
    after = empty_world.overlay.bytes_by_type(empty_world.poll().state or state)
    assert after["Patient"] > before["Patient"]
    assert {name: after[name] for name in after if name != "Patient"} == {
        name: before[name] for name in before if name != "Patient"
    }


def test_memory_returns_after_a_publication(empty_world: World) -> None:
    started(empty_world)
    before = empty_world.overlay.size_bytes(empty_world.overlay.read_status().state)
    empty_world.demo.load([patient(f"n{number}", name=[{"family": "x" * 500}]) for number in range(200)])
    empty_world.poll()
    grown = empty_world.overlay.size_bytes(empty_world.overlay.read_status().state)
    assert grown > before + 200 * 500
    empty_world.refresh()
    empty_world.poll()
    assert empty_world.overlay.size_bytes(empty_world.overlay.read_status().state) <= before + 512
    assert not [name for name in empty_world.overlay.client.keys("*") if ":stage:" in name or name.startswith("fhir:")]


def test_entries_of_a_partition_have_their_own_key(empty_world: World) -> None:
    key = ResourceKey(7, "Patient", "a/b")
    assert key_of("Patient", member(key)) == key


def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        Overlay("http://localhost", Settings())


def test_without_the_marks_of_the_polls_nothing_stale_is_served(empty_world: World) -> None:
    """The entry "female" was captured before a generation that holds "other"; only the polls' marks tell."""
    started(empty_world).demo.update(patient("a", "female"))
    empty_world.poll()
    empty_world.demo.update(patient("a", "other"))
    empty_world.refresh()
    empty_world.overlay.client.delete(f"{empty_world.overlay.prefix}polls")
    assert empty_world.serving.query("patients").frame["gender"].tolist() == ["other"]
    empty_world.poll()
    empty_world.assert_exact()


def test_lost_marks_of_polls_are_repaired_by_the_next_poll(empty_world: World) -> None:
    """Without new entries the next poll must notice by itself; with some, what it adds must not hide the loss."""
    started(empty_world).demo.update(patient("a", "female"))
    empty_world.poll()
    for change in (False, True):
        empty_world.overlay.client.delete(f"{empty_world.overlay.prefix}polls")
        if change:
            empty_world.demo.update(patient("b", "female"))
        assert empty_world.poll().rebuilt
        assert "overlay" in empty_world.serving.query("patients").sources
        empty_world.assert_exact()


def test_a_generation_prunes_the_entries_it_covers_and_no_others(empty_world: World) -> None:
    started(empty_world)
    with empty_world.database.connect() as connection, marked_snapshot(connection) as older:
        pass
    empty_world.demo.update(patient("b"))
    empty_world.poll()
    with empty_world.database.connect() as connection, marked_snapshot(connection) as newer:
        pass
    empty_world.demo.update(patient("c"))
    empty_world.poll()
    pruned = empty_world.overlay.prune(3, newer)
    assert (pruned.forgotten, pruned.state and pruned.state.entry_count) == (1, 1)
    assert pruned.state == empty_world.overlay.read_status().state
    assert [point_read(empty_world.overlay, "Patient", name) is None for name in ("b", "c")] == [True, False]
    assert empty_world.overlay.prune(2, older).state is None
    assert empty_world.overlay.read_status().state == pruned.state


def test_a_loss_right_before_pruning_is_not_counted_away(empty_world: World) -> None:
    started(empty_world).demo.update(patient("b", "female"))
    empty_world.poll()
    generation = empty_world.refresh()
    empty_world.demo.update(patient("c"))
    empty_world.poll()
    for name in empty_world.overlay.client.keys(
        f"{empty_world.overlay.prefix}*Patient"
    ) + empty_world.overlay.client.keys(f"{empty_world.overlay.prefix}rows:*"):
        empty_world.overlay.client.delete(name)
    assert empty_world.overlay.prune(generation.number, generation.mark).forgotten == 0
    assert empty_world.serving.query("patients").row_count == 3
    assert empty_world.poll().rebuilt
    empty_world.assert_exact()
