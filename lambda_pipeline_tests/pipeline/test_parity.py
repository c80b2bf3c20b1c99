"""The parity check finds what is served wrongly, and takes nothing that merely changed since for wrong."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lambda_pipeline.batch import refresh as refreshing
from lambda_pipeline.demo.hapi.outcome import RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import (
    BadRequestError,
    CoverageGapError,
    NoGenerationError,
    QueryFailedError,
)
from lambda_pipeline.operations import parity as parity_module
from lambda_pipeline.operations.parity import SERVED_MODES, Parity, ServedMode, check_parity
from lambda_pipeline.speed import pending_changes
from lambda_pipeline.speed.entry import rows_key
from lambda_pipeline_tests.support.hospital import height, patient
from lambda_pipeline_tests.support.worlds import World

WHICH = pytest.mark.parametrize("sample", [None, 2, 200], ids=["everything", "two", "more than there are"])


@pytest.fixture
def polled(published_cohort: World) -> Iterator[World]:
    """The same, with a poller at work, and somebody else who writes after each poll."""
    ended = threading.Event()

    def keep_polling() -> None:
        while not ended.wait(0.1):
            published_cohort.poll()
            busy(published_cohort)

    poller = threading.Thread(target=keep_polling)
    poller.start()
    yield published_cohort
    ended.set()
    poller.join()


def checked(world: World, mode: ServedMode = "live", **options: object) -> Parity:
    return check_parity(world.serving, mode, **{"sample": None, "patience_s": 0.0, **options})  # type: ignore[arg-type]


def found(parity: Parity) -> list[tuple[str, str, int, int]]:
    return [(one.view, one.resource, one.served, one.recomputed) for one in parity.mismatches]


def execute(world: World, statement: str) -> None:
    with world.database.connect() as connection:
        connection.execute(statement.encode())


def busy(world: World) -> None:
    """A transaction of somebody else, after which no snapshot is the one before it."""
    execute(world, "SELECT pg_current_xact_id()")


@WHICH
@pytest.mark.parametrize("mode", SERVED_MODES)
def test_parity_holds_over_both_layers_and_what_changed_since_is_left_out(
    published_cohort: World, mode: ServedMode, sample: int | None
) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.update(patient("n"))
    published_cohort.demo.delete("Condition", "dm-a")
    published_cohort.poll()
    published_cohort.demo.update(patient("c", "other"))
    published_cohort.demo.delete("Patient", "b")
    parity = checked(published_cohort, mode, sample=sample)
    assert (parity.mismatches, parity.undecided) == ((), ())
    assert parity.checked >= 1
    assert set(parity.views) == {view.name for view in published_cohort.views}
    assert parity.sources == (("batch generation 1",) if mode == "batch" else ("batch generation 1", "overlay"))


def test_what_is_left_out_is_counted(published_cohort: World) -> None:
    published_cohort.demo.update(patient("c", "other"))
    views = checked(published_cohort).views
    assert (views["patients"].checked, views["patients"].changed) == (2, 1)
    assert (views["conditions"].checked, views["conditions"].changed) == (3, 0)


@pytest.mark.parametrize("mode", SERVED_MODES)
@pytest.mark.parametrize("sample", [None, 200])
def test_wrong_and_missing_rows_are_found(published_cohort: World, mode: ServedMode, sample: int | None) -> None:
    execute(published_cohort, "UPDATE sqlonfhir.patients__1 SET gender = 'unknown' WHERE id = 'b'")
    execute(published_cohort, "DELETE FROM sqlonfhir.given_names__1 WHERE patient_id = 'b' AND given = 'X'")
    execute(
        published_cohort, "INSERT INTO sqlonfhir.conditions__1 SELECT * FROM sqlonfhir.conditions__1 WHERE id = 'dm-a'"
    )
    parity = checked(published_cohort, mode, sample=sample)
    assert found(parity) == [
        ("conditions", "Condition/dm-a", 2, 1),
        ("given_names", "Patient/b", 1, 2),
        ("patients", "Patient/b", 1, 1),
    ]
    assert "3 differ: Condition/dm-a in conditions (2 rows served, 1 recomputed)" in str(parity)


@pytest.mark.parametrize("mode", SERVED_MODES)
@pytest.mark.parametrize("sample", [None, 200])
def test_rows_of_a_resource_that_is_not_there_are_found(
    published_cohort: World, mode: ServedMode, sample: int | None
) -> None:
    execute(
        published_cohort,
        "INSERT INTO sqlonfhir.patients__1 (_partition, _id, _version, id) VALUES (-1, 'ghost', 1, 'ghost')",
    )
    assert found(checked(published_cohort, mode, sample=sample)) == [("patients", "Patient/ghost", 1, 0)]


@pytest.mark.parametrize("sample", [None, 200])
def test_a_deleted_resource_that_is_still_served_is_found(published_cohort: World, sample: int | None) -> None:
    published_cohort.demo.delete("Condition", "dm-a")
    published_cohort.refresh()
    execute(
        published_cohort,
        "INSERT INTO sqlonfhir.conditions__1 (_partition, _id, _version, id) VALUES (-1, 'dm-a', 1, 'dm-a')",
    )
    assert found(checked(published_cohort, "batch", sample=sample)) == [("conditions", "Condition/dm-a", 1, 0)]


@pytest.mark.parametrize("sample", [None, 200])
def test_a_wrong_entry_of_the_overlay_is_found_in_live_mode_only(published_cohort: World, sample: int | None) -> None:
    for logical_id in ("a", "n"):
        published_cohort.demo.update(patient(logical_id, "female"))
    settle(published_cohort)
    (patients,) = [view for view in published_cohort.views if view.name == "patients"]
    name = f"lambda_pipeline:rows:{rows_key(patients)}"
    entry = published_cohort.overlay.client.hget(name, "-1/n")
    assert isinstance(entry, str)
    published_cohort.overlay.client.hset(name, "-1/ghost", entry.replace('"n"', '"ghost"'))
    published_cohort.overlay.client.hdel(name, "-1/n")
    published_cohort.overlay.client.hset(name, "-1/a", entry.replace('"n"', '"a"').replace("female", "male"))
    assert found(checked(published_cohort, "live", sample=sample)) == [
        ("patients", "Patient/a", 1, 1),
        ("patients", "Patient/ghost", 1, 0),
        ("patients", "Patient/n", 0, 1),
    ]
    assert found(checked(published_cohort, "batch", sample=sample)) == []


def settle(world: World) -> None:
    """Poll until nothing has happened after the frontier: the first poll may flush the log by a transaction."""
    for _ in range(2):
        world.poll()


@pytest.mark.parametrize("mode", SERVED_MODES)
def test_what_was_expunged_or_untagged_after_the_frontier_is_no_mismatch(
    published_cohort: World, mode: ServedMode
) -> None:
    profile = {"profile": ["http://example.org/p"]}
    published_cohort.demo.update(height("h2", "a", meta=profile))
    published_cohort.demo.update(patient("n"))
    published_cohort.refresh()
    published_cohort.demo.update(patient("m"))
    published_cohort.poll()
    busy(published_cohort)
    published_cohort.demo.meta_delete("Observation", "h2", profile)
    for logical_id in ("b", "m"):
        with published_cohort.demo.open_transaction() as transaction:
            transaction.delete("Patient", logical_id)
            transaction.expunge("Patient", logical_id)
    parity = checked(published_cohort, mode)
    assert found(parity) == []
    assert parity.undecided == ("Observation/h2", "Patient/b", *(["Patient/m"] if mode == "live" else []))
    published_cohort.poll()
    published_cohort.refresh()
    parity = checked(published_cohort, mode)
    assert (found(parity), parity.undecided) == ([], ())


def expunge(world: World, logical_id: str) -> None:
    with world.demo.open_transaction() as transaction:
        transaction.delete("Patient", logical_id)
        transaction.expunge("Patient", logical_id)
    busy(world)


@pytest.mark.parametrize("sample", [None, 200])
def test_an_expunged_resource_that_a_refresh_overlooks_is_found_in_batch(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch, sample: int | None
) -> None:
    expunge(published_cohort, "b")
    monkeypatch.setattr(refreshing, "find_differences", lambda *_: [])
    assert published_cohort.refresh().repaired == 0
    busy(published_cohort)
    parity = checked(published_cohort, "batch", sample=sample)
    assert found(parity) == [("given_names", "Patient/b", 2, 0), ("patients", "Patient/b", 1, 0)]


def test_an_expunged_resource_that_polls_overlook_is_found_once_the_frontier_has_passed(
    polled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_changes, "untracked_changes", lambda *_, **__: [])
    expunge(polled, "b")
    assert found(checked(polled, patience_s=10.0)) == [
        ("given_names", "Patient/b", 2, 0),
        ("patients", "Patient/b", 1, 0),
    ]


def test_with_a_poller_at_work_an_expunged_resource_is_soon_decided(polled: World) -> None:
    expunge(polled, "b")
    parity = checked(polled, patience_s=10.0)
    assert (found(parity), parity.undecided) == ([], ())


def test_between_two_sweeps_what_holds_on_a_condition_is_left_out(make_world: Callable[..., World]) -> None:
    world = make_world(exact_scan_max_rows=0, sweep_interval_s=3600, poll_overlap_s=0.001)
    for logical_id in ("a", "b", "c"):
        world.demo.update(patient(logical_id))
    world.refresh()
    world.poll()
    skewed = DemoHapi(world.database, clock=lambda: datetime.now(UTC) - timedelta(hours=1), referential_integrity=False)
    skewed.update(patient("a", "female"))
    expunge(world, "b")
    world.demo.update(patient("n"))
    assert world.poll().captured == {"Patient": 1}
    parity = checked(world)
    assert parity.notes
    assert (found(parity), parity.undecided) == ([], ("Patient/b",))
    assert parity.views["patients"].changed == 2
    execute(world, "UPDATE sqlonfhir.patients__1 SET gender = 'unknown' WHERE id = 'c'")
    assert found(checked(world)) == [("patients", "Patient/c", 1, 1)]
    world.poller.settings = world.settings.model_copy(update={"sweep_interval_s": 0.001})
    world.poll()
    parity = checked(world)
    assert (found(parity), parity.undecided) == ([("patients", "Patient/c", 1, 1)], ())
    assert parity.views["patients"].changed == 0


def test_a_refresh_since_the_last_poll_is_checked_in_full(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.refresh()
    assert checked(published_cohort).changed == 0


def test_a_resource_that_came_back_between_two_looks_and_went_again_is_undecided(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(_: float) -> None:
        published_cohort.poll()
        published_cohort.demo.update(patient("b"))
        published_cohort.poll()
        expunge(published_cohort, "b")

    monkeypatch.setattr(parity_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=meanwhile))
    expunge(published_cohort, "b")
    parity = checked(published_cohort, patience_s=10.0)
    assert (found(parity), parity.undecided) == ([], ("Patient/b",))


def test_an_entry_that_looks_like_the_one_before_a_refresh_is_another_one(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come_back() -> None:
        published_cohort.demo.update(patient("n"))
        assert published_cohort.poll().captured == {"Patient": 1}
        expunge(published_cohort, "n")

    def meanwhile(_: float) -> None:
        published_cohort.poll()
        published_cohort.refresh()
        published_cohort.poll()
        come_back()

    published_cohort.refresh()
    published_cohort.poll()
    come_back()
    monkeypatch.setattr(parity_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=meanwhile))
    parity = checked(published_cohort, patience_s=10.0)
    assert (found(parity), parity.undecided) == ([], ("Patient/n",))


PROFILE = {"profile": ["http://example.org/p"]}


def change(world: World, chooser: random.Random) -> None:
    logical_id = f"p{chooser.randrange(8)}"
    observation = height(f"h{chooser.randrange(4)}", logical_id, chooser.randrange(150, 200), meta=PROFILE)
    if chooser.random() < 0.7:
        world.demo.update(patient(logical_id, chooser.choice(["male", "female"])))
        world.demo.update(observation)
        return
    world.demo.delete("Patient", logical_id)
    world.demo.expunge("Patient", logical_id)
    with suppress(RequestRefusedError):
        world.demo.meta_delete("Observation", observation["id"], PROFILE)


def refresh(world: World, chooser: random.Random) -> None:
    world.refresh()
    time.sleep(chooser.random() / 2)


def repeat(step: Callable[[World, random.Random], None], world: World, ended: threading.Event) -> None:
    chooser = random.Random(step.__name__)
    while not ended.is_set():
        step(world, chooser)


def test_nothing_is_wrong_while_everything_happens_at_once(polled: World) -> None:
    ended = threading.Event()
    rounds = 0
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(repeat, step, polled, ended) for step in (change, refresh)]
        try:
            until = time.monotonic() + 8.0
            while time.monotonic() < until:
                for mode in SERVED_MODES:
                    assert (mode, found(checked(polled, mode))) == (mode, [])
                    rounds += 1
        finally:
            ended.set()
    for each in running:
        each.result()
    assert rounds >= 10


def test_a_seed_chooses_the_same_resources_again(published_cohort: World) -> None:
    for number in range(40):
        published_cohort.demo.update(patient(f"p{number}"))
    published_cohort.refresh()
    execute(published_cohort, "UPDATE sqlonfhir.patients__1 SET gender = 'unknown'")
    chosen = {seed: found(checked(published_cohort, "batch", sample=3, seed=seed)) for seed in range(5)}
    assert all(len(each) >= 3 for each in chosen.values())
    assert len({str(each) for each in chosen.values()}) > 1
    drawn = checked(published_cohort, "batch", sample=3)
    assert found(checked(published_cohort, "batch", sample=3, seed=drawn.seed)) == found(drawn)
    assert f"(seed {drawn.seed})" in str(drawn)


def test_views_can_be_chosen(published_cohort: World) -> None:
    assert set(checked(published_cohort, views=["patients"]).views) == {"patients"}


def test_without_the_overlay_the_window_from_the_source_is_checked(published_cohort: World) -> None:
    published_cohort.demo.update(patient("n"))
    published_cohort.overlay.client.flushall()
    parity = checked(published_cohort)
    assert parity.sources == ("batch generation 1", "hapi")
    assert (found(parity), parity.changed) == ([], 0)


def test_a_check_that_cannot_be_made_is_refused(published_cohort: World) -> None:
    with pytest.raises(BadRequestError, match="source is the recompute itself"):
        checked(published_cohort, "source")  # type: ignore[arg-type]
    published_cohort.overlay.client.flushall()
    published_cohort.serving.settings = published_cohort.settings.model_copy(update={"read_source_on_gap": False})
    with pytest.raises(CoverageGapError):
        checked(published_cohort)
    execute(published_cohort, "DROP TABLE sqlonfhir.patients__1 CASCADE")
    with pytest.raises(QueryFailedError, match="patients__1"):
        checked(published_cohort, "batch")


def test_there_is_nothing_to_check_before_the_first_generation(empty_world: World) -> None:
    for mode in SERVED_MODES:
        with pytest.raises(NoGenerationError):
            checked(empty_world, mode)
