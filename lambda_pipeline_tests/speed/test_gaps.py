"""Interleavings and faults that a poll, a refresh and a read must survive together."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.batch import refresh as refresh_module
from lambda_pipeline.database import Database
from lambda_pipeline.development import embedded
from lambda_pipeline.development.embedded.home import open_home
from lambda_pipeline.development.embedded.postgres import Postgres
from lambda_pipeline.development.processes import send_signal
from lambda_pipeline.errors import CoverageGapError, RedisUnavailableError, SourceBusyError
from lambda_pipeline.source import SnapshotMark, marked_snapshot, snapshot, table_lock
from lambda_pipeline.speed.lookback import LookbackPoint, add_lookback_point, oldest_possible_update
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import condition, patient
from lambda_pipeline_tests.support.worlds import World


def started(world: World) -> World:
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    return world


def during_refresh(world: World, monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """Refresh, and do this between its snapshot and its commit."""
    record = refresh_module.record

    def interrupted(*arguments: Any, **options: Any) -> None:
        action()
        record(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(refresh_module, "record", interrupted)
        world.refresh()


def test_staged_entries_that_were_evicted_are_not_published(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(empty_world).demo.update(patient("b"))
    before = empty_world.overlay.read_status().state
    publish = empty_world.overlay._publish

    def evicted(**options: Any) -> Any:
        for name in empty_world.overlay.client.keys("*:stage:*rows:patients:*"):
            empty_world.overlay.client.delete(name)
        return publish(**options)

    with monkeypatch.context() as patched:
        patched.setattr(empty_world.overlay, "_publish", evicted)
        with pytest.raises(RedisUnavailableError, match="lost entries of a poll"):
            empty_world.poll()
    assert empty_world.overlay.read_status().state == before
    assert empty_world.poll().count == 1
    empty_world.assert_exact()


def test_a_new_type_is_captured_once_a_generation_has_it(empty_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expunged while the first generation with its type is made: no keys of an older one could tell."""
    empty_world.use([PATIENTS])
    empty_world.demo.update(condition("gone", "a"))
    started(empty_world)
    empty_world.use([PATIENTS, CONDITIONS])
    empty_world.poll()
    state = empty_world.overlay.read_status().state
    assert state is not None
    assert state.types == ["Patient"]

    def expunge() -> None:
        empty_world.demo.delete("Condition", "gone")
        empty_world.demo.expunge("Condition", "gone")
        empty_world.poll()

    during_refresh(empty_world, monkeypatch, expunge)
    assert empty_world.rows("conditions") == empty_world.rows("conditions", "source")
    empty_world.poll()
    assert empty_world.serving.query("conditions").sources[-1] == "overlay"
    assert empty_world.rows("conditions") == empty_world.rows("conditions", "source")


@pytest.mark.parametrize("polls", [True, False])
def test_what_came_and_went_around_a_snapshot_without_a_trace(
    empty_world: World, monkeypatch: pytest.MonkeyPatch, polls: bool
) -> None:
    """Created before a refresh's snapshot and expunged after it, all between two polls: only the generation saw it."""
    started(empty_world).demo.update(patient("b"))
    empty_world.poll()
    empty_world.demo.update(patient("ghost"))

    def expunge() -> None:
        empty_world.demo.delete("Patient", "ghost")
        empty_world.demo.expunge("Patient", "ghost")
        empty_world.poll()

    during_refresh(empty_world, monkeypatch, expunge)
    if polls:
        empty_world.poll()
        assert empty_world.serving.query("patients").sources[-1] == "overlay"
    empty_world.assert_exact()


def test_a_table_that_is_rewritten_right_before_a_snapshot_is_read_whole(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is there when the snapshot is taken: a rewrite waits for the refresh, or comes before its snapshot."""
    started(empty_world).demo.update(patient("b"))
    published = refresh_module.published
    refused: list[int] = []

    def rewritten(connection: Any) -> Any:
        with empty_world.database.connect() as other, other.transaction():
            other.execute("SET LOCAL lock_timeout = '200ms'")
            try:
                with other.transaction():
                    other.execute("ALTER TABLE hfj_resource ALTER COLUMN res_version TYPE text USING res_version || ''")
            except psycopg.errors.LockNotAvailable:
                refused.append(1)
        return published(connection)

    with monkeypatch.context() as patched:
        patched.setattr(refresh_module, "published", rewritten)
        empty_world.refresh()
    assert refused
    assert empty_world.serving.query("patients", mode="batch").row_count == 2


def test_a_migration_that_holds_a_table_is_named_and_the_overlay_still_answers(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(empty_world).demo.update(patient("b"))
    empty_world.poll()
    monkeypatch.setattr(table_lock.lock_tables, "__defaults__", (0.2,))
    with empty_world.database.connect() as migration, migration.transaction():
        migration.execute("LOCK TABLE hfj_res_ver IN ACCESS EXCLUSIVE MODE")
        assert empty_world.serving.query("patients").row_count == 2
        for attempt in (
            empty_world.poll,
            empty_world.refresh,
            lambda: empty_world.serving.query("patients", mode="source"),
        ):
            with pytest.raises(SourceBusyError, match="shape"):
                attempt()
    empty_world.poll()
    empty_world.assert_exact()


def test_the_lock_in_front_of_a_snapshot_takes_none(empty_world: World) -> None:
    with empty_world.database.connect() as reader, empty_world.database.connect() as writer, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        table_lock.lock_tables(reader, [psycopg.sql.Identifier("public", "hfj_resource")])
        writer.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert reader.execute("SELECT n FROM t").fetchone() == (1,)


@pytest.fixture
def own_postgres() -> Iterator[tuple[Path, str]]:
    """A PostgreSQL of one test whose log is flushed only when somebody waits for it."""
    home = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    home.chmod(0o755)
    lazy = {"synchronous_commit": "off", "wal_writer_delay": "10s", "autovacuum": "off"}
    yield home, embedded.start(home, redis=False, settings=lazy).postgres_url
    embedded.clean(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("ending", ["committed", "rolled back"])
def test_numbers_given_out_again_after_a_crash(own_postgres: tuple[Path, str], redis_url: str, ending: str) -> None:
    """A mark counts transactions as over; a crash before they are on disk would give their numbers to others."""
    home, url = own_postgres
    world = World(url, redis_url)
    world.demo.load([patient(f"p{number}") for number in range(30)])
    started(world)
    for number in range(15):
        transaction = world.demo.open_transaction()
        transaction.update(patient(f"p{number}", "other"))
        (transaction.commit if ending == "committed" else transaction.rollback)()
    world.poll()
    send_signal(Postgres(open_home(home)).leaders(), signal.SIGKILL)
    embedded.start(home, redis=False)
    world.database.engine.dispose()
    for number in range(30):
        world.demo.update(patient(f"p{number}", "female"))
    world.poll()
    assert "overlay" in world.serving.query("patients").sources
    world.assert_exact()
    world.serving.close()


def test_marks_beyond_the_horizon_tell_nothing(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = started(make_world(read_source_on_gap=True))
    world.overlay.clear()
    world.demo.update(patient("b"))
    monkeypatch.setattr(snapshot, "HORIZON", 0)
    assert "too many transactions" in world.poll().waiting
    with pytest.raises(CoverageGapError, match="too many transactions"):
        world.serving.query("patients")
    assert world.refresh().build_kind == "full"


def test_the_timeline_is_that_of_the_log_being_written(database_url: str) -> None:
    database = Database(database_url)
    with database.connect() as connection, marked_snapshot(connection) as taken:
        row = connection.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone()
        assert row is not None
        assert taken.cluster.split("/")[1] == str(row[0])
    assert "pg_control_checkpoint" not in snapshot._MARK
    database.close()


def test_a_ranged_poll_reaches_back_to_every_open_transaction(make_world: Callable[..., World]) -> None:
    """The second-oldest commits long after the oldest: the bound must not move on with the oldest."""
    world = started(make_world(exact_scan_max_rows=0, sweep_interval_s=100_000, poll_overlap_s=0.001))
    with world.database.connect() as connection:
        connection.execute("ANALYZE hfj_resource")
    oldest = world.demo.open_transaction()
    oldest.update(patient("oldest"))
    second = world.demo.open_transaction()
    second.update(patient("second"))
    world.demo.update(patient("b"))
    world.poll()
    oldest.commit()
    world.demo.update(patient("c"))
    world.poll()
    world.demo.update(patient("d"))
    world.poll()
    second.commit()
    world.poll()
    world.assert_exact()


def test_floors_are_few_and_never_too_high() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    floors: tuple[LookbackPoint, ...] = ()
    for second in range(1000):
        long_open = SnapshotMark("c", 100, 200 + second, frozenset({100}), start)
        floors = add_lookback_point(floors, LookbackPoint(100 + second, start + timedelta(seconds=second)), long_open)
        assert len(floors) <= 64
        assert oldest_possible_update(floors, long_open) == start
    for number in range(100, 1100):
        asked = SnapshotMark("c", number, 2000, frozenset({number}), start)
        floor = oldest_possible_update(floors, asked)
        assert floor is not None
        assert floor <= start + timedelta(seconds=number - 100)


def forget_ids(world: World) -> None:
    """As after an upgrade without HAPI's migrator: ids are in the table of forced ids only."""
    with world.database.connect() as connection:
        connection.execute(
            "INSERT INTO hfj_forced_id (pid, forced_id, resource_pid, resource_type)"
            " SELECT res_id, fhir_id, res_id, res_type FROM hfj_resource"
        )
        connection.execute("UPDATE hfj_resource SET fhir_id = NULL")


def test_a_deleted_row_does_not_hide_the_living_one_of_its_id(empty_world: World) -> None:
    started(empty_world)
    forget_ids(empty_world)
    empty_world.refresh()
    empty_world.demo.update(patient("a", "female"))
    empty_world.poll()
    for mode in ("live", "source"):
        answer = empty_world.serving.query("patients", mode=mode)
        assert answer.row_count == 0
        assert {found.resource for found in answer.quarantined} == {"Patient/a"}
    empty_world.demo.delete("Patient", "a")
    for step in (empty_world.poll, empty_world.refresh):
        step()
        assert empty_world.serving.query("patients").frame["gender"].tolist() == ["male"]
        assert not empty_world.serving.query("patients").quarantined
        with empty_world.database.connect() as connection:
            connection.execute("UPDATE hfj_resource SET res_ver = res_ver + 1 WHERE res_deleted_at IS NOT NULL")
        empty_world.poll()
        assert empty_world.serving.query("patients").frame["gender"].tolist() == ["male"]
    empty_world.refresh()
    assert empty_world.serving.query("patients", mode="batch").frame["gender"].tolist() == ["male"]
