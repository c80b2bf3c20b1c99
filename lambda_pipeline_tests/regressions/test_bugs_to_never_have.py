"""Bugs that published systems of this kind have had. Each test says in a sentence what went wrong elsewhere."""

import ast
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

import lambda_pipeline
from lambda_pipeline.batch import fill as batch_fill
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import (
    BadRequestError,
    CaptureError,
    CoverageGapError,
    LambdaPipelineError,
    RedisUnavailableError,
    RefreshError,
)
from lambda_pipeline.serving import Filter, Operator
from lambda_pipeline.serving.read import open_batch
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.speed import poll as poll_module
from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.definitions import DEFINITIONS, GIVEN_NAMES, PATIENTS
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.servers import OwnRedis
from lambda_pipeline_tests.support.worlds import World

MALE = [Filter("gender", Operator.EQ, "male")]


def ready(world: World, patients: int = 3) -> World:
    """So many male diabetics in a published generation, and a first poll."""
    for number in range(patients):
        world.demo.update(patient(f"p{number}", "male", name=[{"family": "F", "given": ["A", "B"]}]))
        world.demo.update(condition(f"c{number}", f"p{number}"))
    world.refresh()
    world.poll()
    return world


# --- merge


def test_01_a_patient_edited_from_male_to_other_leaves_the_male_cohort(empty_world: World) -> None:
    """Filters ran on the cached resources before the merge, so yesterday's row stayed in the cohort."""
    ready(empty_world).demo.update(patient("p0", "other"))
    empty_world.poll()
    assert empty_world.cohort() == {"p1", "p2"}
    assert empty_world.serving.query("patients", where=MALE).row_count == 2


def test_02_male_does_not_match_female(empty_world: World) -> None:
    """`gender ILIKE '%male%'` also matched "female"."""
    empty_world.demo.update(patient("f", "female"))
    ready(empty_world)
    empty_world.demo.update(patient("g", "female"))
    empty_world.poll()
    assert empty_world.serving.query("patients", where=MALE).row_count == 3


def test_03_a_filter_is_never_dropped(empty_world: World) -> None:
    """Filters that the speed layer did not know were dropped silently: every operator must bind overlay rows too."""
    ready(empty_world).demo.update(patient("n", "female", birthDate="1990-01-01"))
    empty_world.poll()
    expected = {
        ("birth_date", Operator.GE, "1980"): 1,
        ("birth_date", Operator.LT, "1980"): 0,
        ("birth_date", Operator.BETWEEN, ("1989", "1991")): 1,
        ("birth_date", Operator.IN, ("1990-01-01",)): 1,
        ("birth_date", Operator.CONTAINS, "1990"): 1,
        ("birth_date", Operator.IS_NULL, "false"): 1,
        ("gender", Operator.NE, "male"): 1,
    }
    for (column, operator, value), count in expected.items():
        answer = empty_world.serving.query("patients", where=[Filter(column, operator, value)])
        assert answer.row_count == count, operator
    with pytest.raises(BadRequestError, match="birthdate"):
        empty_world.serving.query("patients", where=[Filter("birthdate", Operator.EQ, "1990")])


def test_04_the_count_looks_at_both_layers(empty_world: World) -> None:
    """The count query looked at the batch layer only, the row query at both."""
    ready(empty_world).demo.update(patient("n", "male"))
    empty_world.poll()
    counted = empty_world.serving.select("SELECT count(*) AS n FROM patients WHERE gender = 'male'")
    assert counted.frame["n"].tolist() == [4]
    assert empty_world.serving.query("patients", where=MALE, limit=0).row_count == 4


def test_05_siblings_are_joined_and_where_is_applied_on_the_speed_side(make_world: Callable[..., World]) -> None:
    """Sibling `select`s were unioned instead of joined; the view's `where` was not applied to captured resources."""
    siblings = {
        **GIVEN_NAMES,
        "name": "siblings",
        "where": [{"path": "active = true"}],
        "select": [
            {"column": [{"name": "id", "path": "getResourceKey()", "type": "id"}]},
            {"forEach": "name.given", "column": [{"name": "given", "path": "$this", "type": "string"}]},
            {"forEach": "telecom", "column": [{"name": "value", "path": "value", "type": "string"}]},
        ],
    }
    world = make_world()
    world.use([siblings])
    world.refresh()
    more = {"name": [{"given": ["A", "B"]}], "telecom": [{"value": "1"}, {"value": "2"}, {"value": "3"}]}
    world.demo.update(patient("in", active=True, **more))
    world.demo.update(patient("out", active=False, **more))
    world.poll()
    assert world.rows("siblings").total() == 6
    assert world.rows("siblings") == world.rows("siblings", "source")


def test_06_a_stale_entry_never_overrides_newer_batch_rows(empty_world: World) -> None:
    """The cache always won: an entry captured before a build overrode the build's newer row."""
    ready(empty_world).demo.update(patient("p0", "female"))
    empty_world.poll()
    empty_world.demo.update(patient("p0", "other"))
    empty_world.refresh()  # sees "other"; the overlay, not pruned, still holds "female"
    assert empty_world.overlay.read_status().state.entry_count == 1
    answer = empty_world.serving.query("patients", where=[Filter("id", Operator.EQ, "p0")])
    assert answer.frame["gender"].tolist() == ["other"]
    empty_world.assert_exact()


def test_07_a_limit_comes_after_the_merge(empty_world: World) -> None:
    """A row limit was applied to the overlay before the merge."""
    ready(empty_world)
    for number in range(10):
        empty_world.demo.update(patient(f"n{number}", "male"))
    empty_world.demo.delete("Patient", "p0")
    empty_world.poll()
    answer = empty_world.serving.query("patients", where=MALE, limit=5)
    assert (len(answer.frame), answer.row_count) == (5, 12)
    assert empty_world.serving.query("patients", limit=100).row_count == 12


def test_08_a_shorter_foreach_loses_its_old_rows(empty_world: World) -> None:
    """A resource with several rows kept the extra ones after its `forEach` became shorter."""
    ready(empty_world, 1).demo.update(patient("p0", "male", name=[{"given": ["A"]}]))
    empty_world.poll()
    assert empty_world.rows("given_names") == {("p0", "A"): 1}
    empty_world.refresh()
    assert empty_world.rows("given_names", "batch") == {("p0", "A"): 1}


def test_09_a_resource_that_left_where_or_was_deleted_has_no_rows(empty_world: World) -> None:
    """Deleted resources, and those that no longer pass `where`, kept their old rows for ever."""
    ready(empty_world)
    error = {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}
    empty_world.demo.update(condition("c0", "p0", **error))
    empty_world.demo.delete("Condition", "c1")
    empty_world.poll()
    assert empty_world.cohort() == {"p2"}
    empty_world.refresh()
    assert empty_world.cohort("batch") == {"p2"}


def test_10_a_view_with_several_rows_a_resource_keeps_them(empty_world: World) -> None:
    """An upsert by `id` collapsed several rows of a resource to one."""
    ready(empty_world, 1).demo.update(patient("p0", "male", name=[{"given": ["A", "A", "B"]}]))
    empty_world.poll()
    assert empty_world.rows("given_names") == {("p0", "A"): 2, ("p0", "B"): 1}
    empty_world.refresh()
    assert empty_world.rows("given_names", "batch") == {("p0", "A"): 2, ("p0", "B"): 1}


# --- capture


def test_11_a_burst_is_drained_whatever_its_size(make_world: Callable[..., World]) -> None:
    """`ORDER BY res_updated DESC LIMIT 100`, and then the watermark jumped to now: change 101 was lost."""
    world = ready(make_world(poll_page_rows=7))
    world.demo.load([patient(f"n{number}") for number in range(250)])
    assert world.poll().captured == {"Patient": 250}
    assert world.poll().count == 0
    assert world.serving.query("patients", where=MALE).row_count == 253
    world.assert_exact()


def test_12_a_failed_poll_advances_nothing(empty_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed or partly failed fetch advanced the watermark."""
    ready(empty_world).demo.update(patient("n"))
    before = empty_world.overlay.read_status().state

    def fail(*_: object) -> None:
        raise psycopg.OperationalError("connection lost")

    with monkeypatch.context() as patched:
        patched.setattr(poll_module, "flatten_changes", fail)
        with pytest.raises(CaptureError):
            empty_world.poll()
    assert empty_world.overlay.read_status().state == before
    assert empty_world.poll().captured == {"Patient": 1}


def test_12_a_poll_that_cannot_write_advances_nothing(make_world: Callable[..., World], own_redis: OwnRedis) -> None:
    """The same with Redis away in the middle: the next poll has everything."""
    world = ready(make_world(own_redis.url))
    world.demo.update(patient("n"))
    own_redis.stop()
    with pytest.raises(RedisUnavailableError):
        world.poll()
    own_redis.start()
    assert world.poll().captured == {"Patient": 1}
    world.assert_exact()


def test_13_deletes_are_captured(empty_world: World) -> None:
    """Deletes were filtered out of the change feed."""
    ready(empty_world).demo.delete("Condition", "c0")
    assert empty_world.poll().deleted == 1
    assert empty_world.cohort() == {"p1", "p2"}


def test_14_a_transaction_stamped_early_and_committed_late_is_captured(empty_world: World) -> None:
    """`res_updated > max(res_updated)` lost it."""
    ready(empty_world)
    for minutes in (0, 10, 600):
        stamp = datetime.now(UTC) - timedelta(minutes=minutes)
        late = empty_world.demo.open_transaction(stamp=stamp)
        late.update(patient(f"late-{minutes}"))
        empty_world.demo.update(patient(f"early-{minutes}"))
        assert empty_world.poll().count == 1
        late.commit()
        assert empty_world.poll().count == 1
    assert empty_world.serving.query("patients", where=MALE).row_count == 9
    empty_world.assert_exact()


def test_14_a_large_table_polled_by_stamps_reaches_below_the_oldest_open_transaction(
    make_world: Callable[..., World],
) -> None:
    """The same where every poll cannot scan the whole table: the range goes back as far as writers are still open."""
    world = ready(make_world(exact_scan_max_rows=0, sweep_interval_s=3600, poll_overlap_s=0.001))
    world.demo.update(patient("warm"))
    world.poll()
    late = world.demo.open_transaction()
    late.update(patient("late"))
    for number in range(3):
        world.demo.update(patient(f"early{number}"))
        assert world.poll().count == 1
    late.commit()
    assert world.poll().count == 1
    answer = world.serving.query("patients")
    assert answer.row_count == 8
    assert "last verified" in answer.notes[0]


def test_15_ties_and_page_breaks_lose_nothing(make_world: Callable[..., World]) -> None:
    """Strict `>` on a timestamp that a whole transaction shares, or a page break inside such a tie."""
    world = ready(make_world(poll_page_rows=10, exact_scan_max_rows=0, sweep_interval_s=3600))
    stamp = datetime.now(UTC)
    for batch in range(3):
        with world.demo.open_transaction(stamp=stamp) as transaction:
            for number in range(25):
                transaction.update(patient(f"t{batch}-{number}"))
        assert world.poll().count == 25
    assert world.serving.query("patients").row_count == 78
    world.assert_exact()


def test_16_the_mark_is_kept_with_the_entries_and_comes_from_the_server(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watermark lived in memory, or came from the client's clock."""
    ready(empty_world).demo.update(patient("n"))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    another_process = Poller(empty_world.database, empty_world.overlay, empty_world.views, empty_world.settings)
    assert another_process.poll().captured == {"Patient": 1}
    assert empty_world.poll().count == 0
    mark = empty_world.overlay.read_status().state.mark
    assert abs(datetime.now(UTC) - mark.taken_at) < timedelta(minutes=1)


def test_17_every_type_that_a_view_looks_at_is_polled(make_world: Callable[..., World]) -> None:
    """Only three resource types were polled; views over others never got fresh rows."""
    encounters = {**PATIENTS, "name": "encounters", "resource": "Encounter"}
    encounters["select"] = [{"column": [PATIENTS["select"][0]["column"][0]]}]
    world = make_world()
    world.use([encounters])
    world.refresh()
    world.demo.update({"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}})
    assert world.poll().captured == {"Encounter": 1}
    assert world.serving.query("encounters").row_count == 1


def test_18_entries_outlive_the_refresh_interval_and_an_expired_one_is_a_gap(make_world: Callable[..., World]) -> None:
    """Cached entries expired (12 h) before the refresh that would have covered them (24 h)."""
    assert Settings().ttl_hours >= 3 * 24
    world = ready(make_world(ttl_hours=1.5 / 3600))
    world.demo.update(patient("n"))
    world.poll()
    time.sleep(1.5)
    answer = world.serving.query("patients", where=MALE)
    assert answer.row_count == 4
    assert answer.sources == ("batch generation 1", "hapi")
    assert world.poll().rebuilt
    assert world.serving.query("patients", where=MALE).sources == ("batch generation 1", "overlay")


@pytest.mark.parametrize("what", ["rows", "seen", "order", "state", "everything"])
def test_19_what_redis_evicted_is_noticed(make_world: Callable[..., World], redis_url: str, what: str) -> None:
    """`allkeys-lru` at 256 MB: 168,425 of 400,000 entries silently evicted."""
    world = ready(make_world(read_source_on_gap=False))
    world.demo.update(patient("n"))
    world.poll()
    assert world.serving.query("patients", where=MALE).row_count == 4
    names = world.overlay.client.keys("*" if what == "everything" else f"{world.overlay.prefix}{what}*")
    assert names
    world.overlay.client.delete(*names)
    if what not in ("seen", "order"):
        with pytest.raises(CoverageGapError):
            world.serving.query("patients", where=MALE)
    assert world.poll().rebuilt
    assert world.serving.query("patients", where=MALE).row_count == 4


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_20_half_past_twelve_stays_half_past_twelve(empty_world: World, hour: int) -> None:
    """`hh` instead of `HH`: 12:30 became 00:30."""
    moment = datetime(2026, 3, 1, hour, 30, 15, 123_000, tzinfo=UTC)
    ready(empty_world)
    DemoHapi(empty_world.database, clock=lambda: moment).update(height("h", "p0"))
    empty_world.poll()
    envelope = point_read(empty_world.overlay, "Observation", "h")
    assert envelope is not None
    assert envelope["resource"]["meta"]["lastUpdated"] == f"2026-03-01T{hour:02}:30:15.123+00:00"
    assert datetime.fromisoformat(envelope["last_updated"]) == moment


@pytest.mark.parametrize("layer", ["speed", "batch"])
def test_21_an_unknown_encoding_is_not_a_delete(empty_world: World, layer: str) -> None:
    """An unknown body encoding was treated as a delete."""
    write_raw(ready(empty_world).demo, "Patient", "p0", "provider:address", encoding="ESR")
    empty_world.poll() if layer == "speed" else empty_world.refresh()
    answer = empty_world.serving.query("patients", mode="live" if layer == "speed" else "batch")
    assert [(found.resource, found.reason) for found in answer.quarantined] == [
        ("Patient/p0", "the body is stored outside the database (ESR)")
    ]
    assert answer.row_count == 2


def test_22_client_assigned_ids_come_from_fhir_id(empty_world: World) -> None:
    """A join on the table of forced ids, which new HAPI versions no longer write, gave wrong ids."""
    ready(empty_world)
    with empty_world.database.connect() as connection:
        connection.execute(
            "INSERT INTO hfj_forced_id (pid, forced_id, resource_pid, resource_type)"
            " SELECT res_id, 'stale', res_id, res_type FROM hfj_resource WHERE fhir_id = 'p0'"
        )
    empty_world.demo.update(patient("p0", "female"))
    empty_world.poll()
    assert empty_world.serving.query("patients", where=[Filter("gender", Operator.EQ, "female")]).frame[
        "id"
    ].tolist() == ["p0"]
    empty_world.refresh(full=True)
    assert set(empty_world.serving.query("patients", mode="batch").frame["id"]) == {"p0", "p1", "p2"}


@pytest.mark.parametrize("body", ["not JSON", "{broken", '{"resourceType":"Patient","gender":["male","female"]}'])
def test_23_one_bad_resource_neither_stops_the_others_nor_vanishes(empty_world: World, body: str) -> None:
    """One resource that could not be parsed stopped all others, or was skipped without a trace."""
    write_raw(ready(empty_world).demo, "Patient", "bad", body)
    empty_world.demo.update(patient("good"))
    assert empty_world.poll().count == 2
    for mode in ("live", "source"):
        answer = empty_world.serving.query("patients", where=MALE, mode=mode)
        assert answer.row_count == 4
        assert [found.resource for found in answer.quarantined] == ["Patient/bad"]
    assert empty_world.refresh().views["patients"].quarantined == 1
    empty_world.demo.update(patient("bad"))
    empty_world.poll()
    answer = empty_world.serving.query("patients", where=MALE)
    assert (answer.row_count, answer.quarantined) == (5, ())


# --- refresh


def test_24_readers_keep_their_rows_while_tables_are_rebuilt(empty_world: World) -> None:
    """Drop, create and fill outside a transaction: readers saw an empty table."""
    ready(empty_world)
    with open_batch(empty_world.database, empty_world.settings, ["patients"]) as layers:
        empty_world.refresh(full=True)
        empty_world.refresh(full=True)
        table = layers.inputs["patients"].table
        count = psycopg.sql.SQL("SELECT count(*) FROM {}").format(table)
        assert layers.connection.execute(count).fetchone() == (3,)
    assert empty_world.serving.query("patients", mode="batch").row_count == 3


def test_25_no_resource_vanishes_while_it_is_replaced(empty_world: World) -> None:
    """Deletes and inserts of one refresh in separate transactions: readers saw a resource vanish."""
    ready(empty_world)
    counts: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            counts.add(empty_world.serving.query("patients", mode="batch").row_count)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(8):
            for number in range(3):
                empty_world.demo.update(patient(f"p{number}", "male", active=bool(turn % 2)))
            empty_world.refresh()
    finally:
        stop.set()
        reader.join()
    assert counts == {3}


def test_26_a_refresh_without_any_view_fails_and_the_last_generation_stays(empty_world: World) -> None:
    """The script exited 0 when every view failed."""
    ready(empty_world)
    empty_world.demo.update(patient("n"))
    with empty_world.database.connect() as connection:
        connection.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'no space left on device'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER full_disk BEFORE DELETE ON sqlonfhir.quarantine EXECUTE FUNCTION full_disk()"
        )
    with pytest.raises(RefreshError, match="no view could be made, first conditions: no space left") as failed:
        empty_world.refresh()
    assert failed.value.exit_code == 5
    assert empty_world.serving.generation().number == 1
    assert {view: empty_world.serving.query(view, mode="batch").row_count for view in ("patients", "conditions")} == {
        "patients": 3,
        "conditions": 3,
    }


def test_27_all_views_show_one_moment(empty_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views refreshed in parallel, each from its own snapshot: a join across two views saw two moments."""
    ready(empty_world)
    fill = batch_fill.Filler.fill

    def fill_and_change(self: batch_fill.Filler, *arguments: object, **options: object) -> object:
        made = fill(self, *arguments, **options)  # type: ignore[arg-type]
        number = len(empty_world.demo_changes)
        empty_world.demo.update(patient(f"n{number}"))
        empty_world.demo.update(condition(f"n{number}", f"n{number}"))
        empty_world.demo_changes.append(number)
        return made

    empty_world.demo_changes = []
    monkeypatch.setattr(batch_fill.Filler, "fill", fill_and_change)
    empty_world.refresh(full=True)
    assert empty_world.demo_changes
    assert empty_world.cohort("batch") == {"p0", "p1", "p2"}


def test_28_data_as_of_is_the_snapshot_and_not_the_end_of_the_refresh(empty_world: World) -> None:
    """The newest refresh time of several views was reported as "data as of"; honest is the oldest."""
    before = datetime.now(UTC)
    ready(empty_world)
    generation = empty_world.serving.generation()
    for statement in ("SELECT * FROM patients", "SELECT p.id FROM patients p JOIN conditions c ON c.patient_id = p.id"):
        answer = empty_world.serving.select(statement, mode="batch")
        assert before <= answer.valid_as_of == generation.valid_as_of < generation.published_at


def test_29_a_changed_definition_rebuilds_that_view_alone(empty_world: World) -> None:
    """A changed definition was noticed only by rebuilding everything."""
    ready(empty_world)
    empty_world.use([{**PATIENTS, "where": [{"path": "gender = 'male'"}]}, *DEFINITIONS[1:]])
    generation = empty_world.refresh()
    relations = {name: view.table_name for name, view in generation.views.items()}
    assert relations == {
        "patients": "patients__2",
        "given_names": "given_names__1",
        "conditions": "conditions__1",
        "heights": "heights__1",
    }


# --- answers


def test_30_excluding_males_excludes_males(empty_world: World) -> None:
    """ "Exclude males" compiled to `gender = 'male'`."""
    ready(empty_world).demo.update(patient("f", "female"))
    empty_world.poll()
    answer = empty_world.serving.query("patients", where=[Filter("gender", Operator.NE, "male")])
    assert answer.frame["gender"].tolist() == ["female"]


def test_31_a_failure_is_no_empty_cohort(empty_world: World) -> None:
    """`except: return 0`: a failure looked like an empty cohort."""
    ready(empty_world)
    with empty_world.database.connect() as connection:
        connection.execute("DROP TABLE sqlonfhir.patients__1 CASCADE")
    with pytest.raises(LambdaPipelineError):
        empty_world.serving.query("patients")
    with empty_world.database.connect() as connection:
        connection.execute("ALTER TABLE hfj_resource RENAME TO elsewhere")
    with pytest.raises(LambdaPipelineError, match="hfj_resource"):
        empty_world.serving.query("patients", mode="source")
    with pytest.raises(LambdaPipelineError, match="hfj_resource"):
        empty_world.poll()


@pytest.mark.parametrize("may_read_source", [True, False])
def test_32_speed_layer_down_is_said_or_refused(
    make_world: Callable[..., World], own_redis: OwnRedis, may_read_source: bool
) -> None:
    """Speed layer down: batch only, and the caller was not told."""
    world = ready(make_world(own_redis.url, read_source_on_gap=may_read_source))
    world.demo.update(patient("n"))
    own_redis.stop()
    if may_read_source:
        answer = world.serving.query("patients", where=MALE)
        assert answer.row_count == 4
        assert answer.sources == ("batch generation 1", "hapi")
        assert "the speed layer is down" in answer.notes[0]
    else:
        with pytest.raises(CoverageGapError, match="the speed layer is down"):
            world.serving.query("patients", where=MALE)


def test_33_no_saved_question_takes_age_at_today() -> None:
    """Age at today instead of age at the index date."""
    for file in (sql_directory() / "queries").glob("*.sql"):
        text = file.read_text().lower()
        for word in ("current_date", "now()", "current_timestamp", "clock_timestamp", "localtime"):
            assert word not in text, file.name


@pytest.mark.parametrize("value", ["male' OR '1'='1", "'; DROP TABLE hfj_resource; --", "%", "%(x)s", "{}", "\\"])
def test_34_values_are_bound_and_never_interpolated(empty_world: World, value: str) -> None:
    """Values were interpolated into SQL text."""
    ready(empty_world).demo.update(patient("n", "male", name=[{"family": value}]))
    empty_world.poll()
    for operator in (Operator.EQ, Operator.IN, Operator.CONTAINS):
        bound = (value,) if operator is Operator.IN else value
        answer = empty_world.serving.query("patients", where=[Filter("family", operator, bound)])
        assert answer.frame["id"].tolist() == ["n"], operator
    assert empty_world.serving.select("SELECT id FROM patients WHERE family = :name", {"name": value}).row_count == 1


def test_35_nothing_depends_on_pythons_hash() -> None:
    """Pseudonyms from Python's `hash()`: different in every process, and colliding."""
    for file in Path(lambda_pipeline.__file__).parent.rglob("*.py"):
        calls = (node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        assert not any(isinstance(called, ast.Name) and called.id == "hash" for called in calls), file


# --- seen on real HAPI servers


@pytest.mark.parametrize("layer", ["speed", "batch"])
def test_36_a_newer_version_with_an_older_stamp_wins(empty_world: World, layer: str) -> None:
    """The newest version was taken by time: delete and PUT in one transaction leave the delete with the later stamp."""
    ready(empty_world)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"request": {"method": "DELETE", "url": "Patient/p0"}},
            {"request": {"method": "PUT", "url": "Patient/p0"}, "resource": patient("p0", "female")},
        ],
    }
    empty_world.demo.transaction(bundle)
    with empty_world.database.connect() as connection:
        newest = connection.execute(
            "SELECT v.res_encoding FROM hfj_res_ver v JOIN hfj_resource r USING (res_id) WHERE r.fhir_id = 'p0'"
            " ORDER BY v.res_updated DESC LIMIT 1"
        ).fetchone()
    assert newest == ("DEL",)
    empty_world.poll() if layer == "speed" else empty_world.refresh()
    assert empty_world.rows("patients") == empty_world.rows("patients", "source")
    assert empty_world.serving.query("patients", where=[Filter("id", Operator.EQ, "p0")]).frame["gender"].tolist() == [
        "female"
    ]


def test_37_a_delete_without_a_version_row_stays_deleted(empty_world: World) -> None:
    """A deleted resource came back: its delete left no version row, and the reader took the newest row there was."""
    ready(empty_world).demo.delete("Patient", "p0")
    with empty_world.database.connect() as connection:
        connection.execute("DELETE FROM hfj_res_ver WHERE res_encoding = 'DEL'")
    empty_world.poll()
    assert empty_world.cohort() == empty_world.cohort("source") == {"p1", "p2"}
    empty_world.refresh(full=True)
    assert empty_world.cohort("batch") == {"p1", "p2"}


@pytest.mark.parametrize("layer", ["speed", "batch"])
def test_38_skipped_versions_and_a_version_without_a_row(empty_world: World, layer: str) -> None:
    """ "Next version = last + 1", or a join on `res_ver`: an undelete skips a number, a no-op update left no row."""
    ready(empty_world).demo.delete("Patient", "p0")
    empty_world.demo.update(patient("p0", "female"))
    with empty_world.database.connect() as connection:
        connection.execute("UPDATE hfj_resource SET res_ver = res_ver + 3 WHERE fhir_id IN ('p0', 'p1')")
    empty_world.poll() if layer == "speed" else empty_world.refresh()
    answer = empty_world.serving.query("patients", mode="live" if layer == "speed" else "batch")
    assert sorted(zip(answer.frame["id"], answer.frame["gender"], strict=True)) == [
        ("p0", "female"),
        ("p1", "male"),
        ("p2", "male"),
    ]
    assert not answer.quarantined


def test_39_a_nul_in_one_body_stops_nothing(empty_world: World) -> None:
    r"""One body with `\u0000` made `::jsonb` fail for the whole table."""
    ready(empty_world)
    nul, escaped = (
        r'{"resourceType":"Patient","name":[{"family":"%s"}]}',
        r"a\u0000b",
    )
    write_raw(empty_world.demo, "Patient", "n", nul % escaped)
    write_raw(empty_world.demo, "Patient", "e", nul % r"a\\u0000b")
    empty_world.poll()
    for mode in ("live", "source"):
        families = dict(
            empty_world.serving.query("patients", columns=["id", "family"], mode=mode).frame.itertuples(index=False)
        )
        assert (families["n"], families["e"]) == ("a\ufffdb", r"a\u0000b")
    assert empty_world.refresh(full=True).views["patients"].quarantined == 0


def test_40_two_rows_with_one_logical_id_are_reported(empty_world: World) -> None:
    """After an upgrade without migration two rows had one logical id: merged, or one dropped, silently."""
    ready(empty_world)
    with empty_world.database.connect() as connection:
        connection.execute(
            "INSERT INTO hfj_forced_id (pid, forced_id, resource_pid, resource_type)"
            " SELECT res_id, 'p0', res_id, 'Patient' FROM hfj_resource WHERE fhir_id = 'p1'"
        )
        connection.execute("UPDATE hfj_resource SET fhir_id = NULL WHERE fhir_id = 'p1'")
    empty_world.refresh(full=True)
    empty_world.poll()
    for mode in ("live", "batch", "source"):
        answer = empty_world.serving.query("patients", mode=mode)
        assert answer.frame["id"].tolist() == ["p2"]
        assert {found.resource for found in answer.quarantined} == {"Patient/p0"}
        assert "logical id" in answer.quarantined[0].reason


def test_41_a_source_that_shows_nothing_is_not_an_unchanged_one(empty_world: World) -> None:
    """An empty page was taken as "nothing changed", on a tenant whose history the server does not show.

    Here: rows that row-level security or a wrong schema hide. Their absence is noticed, not read as silence.
    """
    ready(empty_world)
    with empty_world.database.connect() as connection:
        connection.execute("ALTER TABLE hfj_res_ver DROP CONSTRAINT fk_resource_history_resource")
        connection.execute("DELETE FROM hfj_resource WHERE fhir_id = 'p0'")
    poll = empty_world.poll()
    assert poll.captured == {"Patient": 1}
    assert empty_world.serving.query("patients").row_count == 2
    with empty_world.database.connect() as connection:
        connection.execute("CREATE SCHEMA empty")
    elsewhere = Settings(hapi_schema="empty")
    poller = Poller(empty_world.database, empty_world.overlay, empty_world.views, elsewhere)
    with pytest.raises(LambdaPipelineError, match="missing in schema empty"):
        poller.poll()


@pytest.mark.parametrize("exact", [True, False])
def test_42_server_local_times_are_not_read_as_utc(make_world: Callable[..., World], exact: bool) -> None:
    """Server-local times were read as UTC."""
    options = {} if exact else {"exact_scan_max_rows": 0, "sweep_interval_s": 3600}
    world = make_world(source_timezone="America/New_York", **options)
    moment = datetime.now(UTC).replace(microsecond=0)
    world.demo = DemoHapi(
        world.database, clock=lambda: moment, zone=ZoneInfo("America/New_York"), referential_integrity=False
    )
    ready(world).demo.update(height("h", "p0"))
    assert world.poll().count == 1
    envelope = point_read(world.overlay, "Observation", "h")
    assert envelope is not None
    assert datetime.fromisoformat(envelope["resource"]["meta"]["lastUpdated"]) == moment


def test_every_entry_has_a_test() -> None:
    """The list has 42 entries."""
    numbers = {name[5:7] for name in globals() if name.startswith("test_") and name[5:7].isdigit()}
    assert numbers == {f"{number:02}" for number in range(1, 43)}
