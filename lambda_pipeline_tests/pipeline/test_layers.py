"""What each layer does alone and together, through the product's own code on real servers."""

import math
import uuid
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from psycopg import sql

from lambda_pipeline.batch.generation import Repairs
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.errors import BadRequestError, NoGenerationError, RefreshError, ViewNotPublishedError
from lambda_pipeline.serving import Filter, Operator
from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.definitions import CONDITIONS, DEFINITIONS, HEIGHTS, PATIENTS
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.worlds import World


def test_no_number_before_the_first_generation(empty_world: World) -> None:
    empty_world.demo.update(patient("a"))
    with pytest.raises(NoGenerationError):
        empty_world.serving.query("patients")
    assert empty_world.serving.query("patients", mode="source").row_count == 1
    poll = empty_world.poll()
    assert (bool(poll.waiting), poll.count, poll.pruned, poll.over_budget) == (True, 0, 0, False)


def test_a_change_is_in_the_next_answer_after_a_poll(published_cohort: World) -> None:
    assert published_cohort.cohort() == {"a", "b"}
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.update(patient("n", "male"))
    published_cohort.demo.update(condition("dm-n", "n"))
    poll = published_cohort.poll()
    assert poll.captured == {"Condition": 1, "Patient": 2}
    assert published_cohort.cohort() == {"b", "n"}
    assert published_cohort.cohort("batch") == {"a", "b"}
    published_cohort.assert_exact()


@pytest.mark.parametrize(
    ("setting", "asked", "source"),
    [
        (None, None, "overlay"),
        (None, 0, "hapi"),
        (3600.0, 0, "hapi"),
        (1e-9, None, "hapi"),
        (1e-9, 3600, "overlay"),
        (1e-9, math.inf, "overlay"),
    ],
)
def test_a_question_states_its_own_freshness_target(
    published_cohort: World, setting: float | None, asked: float | None, source: str
) -> None:
    """A target of zero seconds was once taken for none, and the overlay answered in place of HAPI's tables."""
    published_cohort.demo.update(patient("n", "male"))
    published_cohort.poll()
    serving = published_cohort.serving
    serving.settings = serving.settings.model_copy(update={"freshness_target_s": setting})
    assert serving.query("patients", freshness_target_s=asked).sources[-1] == source


def test_the_refresh_absorbs_the_day_and_the_overlay_is_pruned(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.poll()
    before = published_cohort.cohort()
    generation = published_cohort.refresh()
    assert generation.build_kind == "incremental"
    assert generation.changes == 1
    assert published_cohort.cohort() == before == published_cohort.cohort("batch")
    poll = published_cohort.poll()
    assert (poll.entries, poll.pruned) == (0, 1)
    assert published_cohort.cohort() == before
    assert point_read(published_cohort.overlay, "Patient", "a") is None


def test_counts_add_up(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.delete("Patient", "b")
    published_cohort.demo.update(patient("n", "male"))
    published_cohort.poll()
    answer = published_cohort.serving.query("patients", where=[Filter("gender", Operator.EQ, "male")])
    assert answer.counts is not None
    assert (answer.counts.batch_count, answer.counts.added, answer.counts.removed) == (2, 1, 2)
    assert answer.row_count == answer.counts.total == 1
    assert (answer.counts.speed_count, answer.counts.overlap_count) == (3, 2)
    assert answer.sources == ("batch generation 1", "overlay")


def test_an_unchanged_row_is_neither_added_nor_removed(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "male", name=[{"given": ["X", "Y"]}], active=True))
    published_cohort.poll()
    counts = published_cohort.serving.query("patients").counts
    assert counts is not None
    assert (counts.added, counts.removed, counts.overlap_count) == (0, 0, 1)


def test_point_reads_have_the_resource_as_rest_gives_it(published_cohort: World) -> None:
    published_cohort.demo.update(height("h1", "a", 182, meta={"tag": [{"system": "s", "code": "t"}]}))
    published_cohort.demo.delete("Condition", "dm-c")
    published_cohort.poll()
    envelope = point_read(published_cohort.overlay, "Observation", "h1")
    assert envelope is not None
    assert set(envelope) == {
        "resource_type", "resource", "version", "last_updated", "cached_at", "deleted", "captured_by",
    }  # fmt: skip
    assert envelope["resource"]["id"] == "h1"
    assert envelope["resource"]["meta"]["versionId"] == "2"
    assert envelope["resource"]["meta"]["tag"] == [{"system": "s", "code": "t"}]
    gone = point_read(published_cohort.overlay, "Condition", "dm-c")
    assert gone is not None
    assert gone["deleted"] is True
    assert gone["resource"] is None


def test_a_changed_definition_keeps_the_old_one_readable_until_it_is_built(published_cohort: World) -> None:
    changed = {**PATIENTS, "select": [{"column": [PATIENTS["select"][0]["column"][0]]}]}
    published_cohort.use([changed, *DEFINITIONS[1:]])
    published_cohort.demo.update(patient("n", "female"))
    assert published_cohort.poll().rebuilt == "the views changed"
    old = published_cohort.serving.query("patients")
    assert [column.name for column in old.columns] == ["id", "gender", "birth_date", "family"]
    assert old.row_count == 4
    generation = published_cohort.refresh()
    made = {name: view.build_kind for name, view in generation.views.items()}
    assert made == {
        "patients": "full",
        "given_names": "incremental",
        "conditions": "incremental",
        "heights": "incremental",
    }
    new = published_cohort.serving.query("patients")
    assert [column.name for column in new.columns] == ["id"]
    assert new.row_count == 4
    published_cohort.demo.update(patient("m"))
    published_cohort.poll()
    assert published_cohort.serving.query("patients").row_count == 5
    assert "overlay" in published_cohort.serving.query("patients").sources


def test_a_new_view_is_refused_until_it_is_built_and_a_removed_one_is_retired(published_cohort: World) -> None:
    published_cohort.use([PATIENTS])
    published_cohort.refresh()
    with pytest.raises(BadRequestError, match="unknown view conditions"):
        published_cohort.serving.query("conditions")
    published_cohort.use([PATIENTS, CONDITIONS])
    with pytest.raises(ViewNotPublishedError):
        published_cohort.serving.query("conditions")
    assert published_cohort.serving.query("conditions", mode="source").row_count == 3
    published_cohort.refresh()
    published_cohort.poll()
    assert published_cohort.serving.query("conditions").row_count == 3


def test_tags_come_and_go_without_a_stamp_and_are_seen(published_cohort: World) -> None:
    def profiles() -> list[list[str]]:
        return published_cohort.serving.query("heights").frame["profile"].tolist()

    profile = {"profile": ["http://example.org/p"]}
    published_cohort.demo.meta_add("Observation", "h1", profile)
    published_cohort.poll()
    assert profiles() == [["http://example.org/p"]]
    published_cohort.demo.meta_delete("Observation", "h1", profile)
    published_cohort.poll()
    assert profiles() == [[]]
    published_cohort.demo.meta_add("Observation", "h1", profile)
    published_cohort.refresh()
    published_cohort.demo.meta_delete("Observation", "h1", profile)
    generation = published_cohort.refresh()
    assert (generation.changes, generation.repaired) == (1, 1)
    assert generation.repairs == {"Observation": Repairs(gone=0, altered=1, resources=("Observation/h1",))}
    assert profiles() == [[]]


def test_an_expunged_resource_is_gone_from_the_next_answer(published_cohort: World) -> None:
    published_cohort.demo.update(patient("n", "male"))
    published_cohort.demo.update(condition("dm-n", "n"))
    published_cohort.poll()
    for kind, logical_id in [("Condition", "dm-b"), ("Condition", "dm-n"), ("Patient", "b"), ("Patient", "n")]:
        published_cohort.demo.delete(kind, logical_id)
        published_cohort.demo.expunge(kind, logical_id)
    published_cohort.poll()
    published_cohort.assert_exact()
    assert published_cohort.cohort() == {"a"}


def test_a_deleted_resource_expunged_between_two_nights_is_repaired(published_cohort: World) -> None:
    with published_cohort.demo.open_transaction() as transaction:
        transaction.delete("Patient", "b")
        transaction.expunge("Patient", "b")
    generation = published_cohort.refresh()
    assert generation.repaired == 1
    assert generation.repairs == {"Patient": Repairs(gone=1, altered=0, resources=("Patient/b",))}
    assert published_cohort.serving.generation() == generation
    assert published_cohort.refresh().repairs == {}
    assert published_cohort.cohort("batch") == {"a"}
    published_cohort.assert_exact()


def test_a_generation_from_before_repairs_were_told_apart_is_read_and_built_upon(published_cohort: World) -> None:
    with published_cohort.database.connect() as connection:
        connection.execute("ALTER TABLE sqlonfhir.generation DROP COLUMN repairs")
    assert published_cohort.cohort() == {"a", "b"}
    with published_cohort.demo.open_transaction() as transaction:
        transaction.delete("Patient", "b")
        transaction.expunge("Patient", "b")
    assert published_cohort.refresh().repairs["Patient"].gone == 1
    assert published_cohort.cohort() == {"a"}


def test_limit_comes_after_the_merge_and_columns_in_the_order_asked(published_cohort: World) -> None:
    answer = published_cohort.serving.query("patients", columns=["gender", "id"], limit=2)
    assert list(answer.frame.columns) == ["gender", "id"]
    assert (len(answer.frame), answer.row_count) == (2, 3)


def test_sql_over_merged_views_with_parameters_and_comparison(published_cohort: World) -> None:
    published_cohort.demo.delete("Condition", "dm-a")
    published_cohort.poll()
    answer = published_cohort.serving.select(
        "WITH d AS (SELECT patient_id FROM conditions WHERE code = :code) "
        "SELECT p.id FROM patients p JOIN d ON d.patient_id = p.id WHERE p.gender = :gender ORDER BY 1;",
        {"code": "44054006", "gender": "male"},
        compare=True,
    )
    assert answer.frame["id"].tolist() == ["b"]
    assert answer.counts is not None
    assert (answer.counts.batch_count, answer.counts.added, answer.counts.removed) == (2, 0, 1)


@pytest.mark.parametrize("mode", ["live", "batch", "source"])
def test_decimals_keep_every_digit_on_both_layers(make_world: Callable[..., World], mode: str) -> None:
    world = make_world()
    world.use([HEIGHTS])
    raw = '{"resourceType":"Observation","status":"final","valueQuantity":{"value":%s}}'
    digits = ["1.10", "123456789012345678901234567890.123456789", "0.000000000000000001"]
    world.demo.update(height("first", "a"))
    world.refresh()
    for index, text in enumerate(digits):
        write_raw(world.demo, "Observation", f"o{index}", raw % text)
    if mode == "batch":
        world.refresh()
    world.poll()
    values = {format(value, "f") for value in world.serving.query("heights", mode=mode).frame["value"]}
    assert values == {*digits, "170"}


def test_a_build_and_a_correction_in_several_chunks_hold_every_resource_once(make_world: Callable[..., World]) -> None:
    world = make_world(build_chunk_rows=2)
    for logical_id in "abcde":
        world.demo.update(patient(logical_id))
    world.refresh()
    assert world.serving.query("patients", mode="batch").row_count == 5
    for logical_id in "abcde":
        world.demo.update(patient(logical_id, "other"))
    world.refresh()
    assert list(world.serving.query("patients", mode="batch").frame["gender"]) == ["other"] * 5
    assert world.rows("patients", "batch") == world.rows("patients", "source")


def test_a_role_that_may_not_create_the_schema_is_told_who_may(empty_world: World, database_url: str) -> None:
    role = f"reader_{uuid.uuid4().hex}"
    with empty_world.database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    url = sa.make_url(database_url).set(username=role).render_as_string(hide_password=False)
    try:
        with pytest.raises(RefreshError, match="schema sqlonfhir cannot be created") as raised:
            refresh(Database(url), empty_world.views, empty_world.settings)
    finally:
        with empty_world.database.connect() as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert "sql/roles.sql" in raised.value.hint


def test_superseded_tables_go_after_a_while_and_those_of_retired_views_stay(published_cohort: World) -> None:
    def tables() -> set[str]:
        with published_cohort.database.connect() as connection:
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE tablename ~ '__[0-9]+$'")
            return {name for (name,) in rows}

    def an_hour_passes() -> None:
        with published_cohort.database.connect() as connection:
            connection.execute("UPDATE sqlonfhir.generation SET published_at = published_at - interval '1 hour'")

    an_hour_passes()  # a table's own age is not what counts: its readers may have begun just before the next one came
    published_cohort.use([PATIENTS, CONDITIONS])
    published_cohort.refresh(full=True)
    published_cohort.refresh()
    assert {"patients__1", "patients__2", "heights__1"} <= tables()
    an_hour_passes()
    published_cohort.refresh()
    assert tables() == {"patients__2", "conditions__2", "heights__1", "given_names__1"}
    assert published_cohort.serving.query("patients").row_count == 3
