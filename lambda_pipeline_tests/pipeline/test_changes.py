"""The rows that came and went since the published generation are the difference between live and batch."""

import random
from collections import Counter
from typing import Any

import pytest

from lambda_pipeline.api import Changes, Filter, Operator
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadRequestError, CoverageGapError, NoGenerationError, QuarantinedError
from lambda_pipeline.serving import Answer
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.worlds import World

MEN = [Filter("gender", Operator.EQ, "male")]
Row = tuple[Any, ...]


def shown(answer: Answer) -> list[Row]:
    return [tuple(row[:2]) for row in answer.rows]


def marked(answer: Answer, change: str) -> Counter[Row]:
    return Counter(tuple(map(str, row[2:])) for row in answer.rows if row[0] == change)


def plain(answer: Answer) -> Counter[Row]:
    return Counter(tuple(map(str, row)) for row in answer.rows)


def test_nothing_changed_since_the_generation(published_cohort: World) -> None:
    answer = published_cohort.serving.changes("patients")
    assert isinstance(answer, Changes)
    assert (answer.rows, answer.row_count, answer.generation) == ([], 0, 1)
    assert [column.name for column in answer.columns] == ["_change", "_id", "id", "gender", "birth_date", "family"]
    assert answer.sources == ("batch generation 1", "overlay")


def test_new_gone_and_updated_resources_are_told_apart(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.delete("Patient", "b")
    published_cohort.demo.update(patient("n", "male"))
    published_cohort.poll()
    answer = published_cohort.serving.changes("patients", columns=["gender"])
    assert answer.rows == [
        ("removed", "a", "male"),
        ("added", "a", "female"),
        ("removed", "b", "male"),
        ("added", "n", "male"),
    ]
    assert answer.counts is not None
    assert (answer.counts.batch_count, answer.counts.added, answer.counts.removed, answer.counts.total) == (3, 2, 2, 3)
    assert answer.row_count == 4
    generation = published_cohort.serving.generation()
    assert generation is not None
    assert answer.since == generation.mark.taken_at < answer.valid_as_of


def test_a_row_that_comes_back_unchanged_is_not_shown(published_cohort: World) -> None:
    """One given name of two changes, and a name that is there twice loses one."""
    published_cohort.demo.update(patient("a", name=[{"given": ["X", "Z"]}]))
    published_cohort.demo.update(patient("b", name=[{"given": ["X", "Y", "Y"]}]))
    published_cohort.demo.update(patient("c", "female", name=[{"given": ["X", "Y"]}], active=True))
    published_cohort.poll()
    answer = published_cohort.serving.changes("given_names")
    assert answer.rows == [("removed", "a", "a", "Y"), ("added", "a", "a", "Z"), ("added", "b", "b", "Y")]
    assert answer.counts is not None
    assert answer.counts.speed_count == 3


def test_the_filters_hold_before_and_after(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.update(patient("c", "male"))
    published_cohort.poll()
    for columns in ([], ["id"]):
        answer = published_cohort.serving.changes("patients", where=MEN, columns=columns)
        assert shown(answer) == [("removed", "a"), ("added", "c")]


def test_rows_are_compared_in_the_columns_that_are_asked_for(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "male", birthDate="1970"))
    published_cohort.poll()
    assert published_cohort.serving.changes("patients").row_count == 2
    narrow = published_cohort.serving.changes("patients", columns=["gender"])
    assert (narrow.row_count, narrow.counts and narrow.counts.added) == (0, 0)


def test_a_limit_cuts_rows_and_not_the_counts(published_cohort: World) -> None:
    for each in "xyz":
        published_cohort.demo.update(patient(each))
    published_cohort.poll()
    answer = published_cohort.serving.changes("patients", limit=2)
    assert (len(answer.rows), answer.row_count) == (2, 3)
    assert published_cohort.serving.changes("patients", limit=0).row_count == 3


def test_a_refresh_leaves_nothing_to_show(published_cohort: World) -> None:
    published_cohort.demo.update(patient("n"))
    published_cohort.poll()
    assert published_cohort.serving.changes("patients").row_count == 1
    published_cohort.refresh()
    answer = published_cohort.serving.changes("patients")
    assert (answer.row_count, answer.generation) == (0, 2)


def test_one_id_in_two_partitions_is_two_resources(published_cohort: World) -> None:
    world = published_cohort
    with world.database.connect() as connection:  # HAPI's database partition mode has the partition in this constraint
        connection.execute("ALTER TABLE hfj_resource DROP CONSTRAINT idx_res_type_fhir_id")
    world.demo.update(patient("n", "female"))
    DemoHapi(world.database, partition=5).update(patient("n", "male"))
    world.poll()
    rows = {(row[1], row[3]) for row in world.serving.changes("patients").rows}
    assert rows == {("n", "female"), ("n@5", "male")}


def test_the_window_is_read_from_the_source_or_the_question_is_refused(published_cohort: World) -> None:
    published_cohort.demo.update(patient("n"))
    published_cohort.overlay.clear()
    answer = published_cohort.serving.changes("patients")
    assert (shown(answer), answer.sources[-1]) == ([("added", "n")], "hapi")
    serving = published_cohort.serving
    serving.settings = serving.settings.model_copy(update={"read_source_on_gap": False})
    with pytest.raises(CoverageGapError):
        serving.changes("patients")


def test_what_cannot_be_read_is_named(published_cohort: World) -> None:
    write_raw(published_cohort.demo, "Patient", "bad", '{"resourceType":"Patient","birthDate":["1970"]}')
    published_cohort.demo.update(patient("n"))
    published_cohort.poll()
    answer = published_cohort.serving.changes("patients")
    assert shown(answer) == [("added", "n")]
    assert [found.resource for found in answer.quarantined] == ["Patient/bad"]
    with pytest.raises(QuarantinedError):
        published_cohort.serving.changes("patients", accept_quarantined=False)


def test_no_changes_before_the_first_generation_and_none_in_another_mode(empty_world: World) -> None:
    with pytest.raises(NoGenerationError):
        empty_world.serving.changes("patients")
    with pytest.raises(BadRequestError, match="their mode is live"):
        empty_world.serving.changes("patients", mode="batch")
    with pytest.raises(BadRequestError, match="did you mean patients"):
        empty_world.serving.changes("patient")


def test_the_question_is_kept_beside_the_rows(published_cohort: World) -> None:
    answer = published_cohort.serving.changes("patients", where=MEN)
    assert answer.question is not None
    assert answer.question.content["changes"] == "patients"
    assert answer.summary()["since"] == answer.since.isoformat()


def change_something(world: World, choose: random.Random) -> None:
    who = choose.choice("abcdef")
    match choose.randrange(6):
        case 0 | 1:
            given = choose.choices("XYZ", k=choose.randrange(4))
            names = [{"given": given}] if given else []
            born = choose.choice(["1970", "1980-05", "1990-01-01"])
            gender = choose.choice(["male", "female"])
            world.demo.update(patient(who, gender, birthDate=born, **({"name": names} if names else {})))
        case 2:
            world.demo.update(height(f"h{choose.randrange(3)}", who, choose.choice([170, 170.5, 181])))
        case 3:
            world.demo.update(condition(f"dm-{who}", choose.choice("abc")))
        case _:
            kind, logical_id = choose.choice([("Patient", who), ("Condition", f"dm-{who}"), ("Observation", "h1")])
            world.demo.delete(kind, logical_id)


@pytest.mark.parametrize("seed", range(12))
def test_changes_are_the_difference_between_live_and_batch(published_cohort: World, seed: int) -> None:
    world, choose = published_cohort, random.Random(seed)
    for _ in range(4):
        for _ in range(choose.randrange(1, 9)):
            change_something(world, choose)
        if choose.random() < 0.25:
            world.refresh()
        world.poll()
        for view in world.views:
            columns = choose.choice([(), tuple(column.name for column in view.columns)[:2]])
            where = MEN if view.name == "patients" and choose.random() < 0.5 else ()
            asked = {"where": where, "columns": columns}
            live, batch = (world.serving.query(view.name, mode=mode, **asked) for mode in ("live", "batch"))
            answer = world.serving.changes(view.name, **asked)
            assert (answer.valid_as_of, answer.generation) == (live.valid_as_of, batch.generation)
            now, before = plain(live), plain(batch)
            assert marked(answer, "added") == now - before
            assert marked(answer, "removed") == before - now
            assert answer.row_count == (now - before).total() + (before - now).total()
