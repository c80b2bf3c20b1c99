"""The point read: one resource as it is now, and where that comes from."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from lambda_pipeline.api import Resource
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import (
    AmbiguousResourceError,
    BadRequestError,
    CoverageGapError,
    QuarantinedError,
    StaleAnswerError,
)
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import height, patient
from lambda_pipeline_tests.support.worlds import World


def known(found: Resource) -> tuple[str, str, int | None]:
    return found.source, found.status, found.version


def test_what_has_not_changed_is_read_from_the_source(published_cohort: World) -> None:
    found = published_cohort.serving.resource("Patient/a")
    assert known(found) == ("hapi", "found", 1)
    assert found.content is not None
    assert (found.content["id"], found.content["gender"], found.content["meta"]["versionId"]) == ("a", "male", "1")
    assert "gender" not in repr(found)


def test_what_was_captured_comes_from_the_overlay_at_the_moment_of_its_last_poll(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.poll()
    published_cohort.demo.update(patient("a", "other"))
    found = published_cohort.serving.resource("Patient/a")
    assert known(found) == ("overlay", "found", 2)
    assert found.content is not None
    assert found.content["gender"] == "female"
    assert found.valid_as_of == published_cohort.serving.query("patients").valid_as_of
    published_cohort.poll()
    assert known(published_cohort.serving.resource("Patient/a")) == ("overlay", "found", 3)


def test_both_places_give_the_same_text_and_every_digit(published_cohort: World) -> None:
    raw = '{"resourceType":"Observation","status":"final","valueQuantity":{"value":0.10000000000000000555}}'
    write_raw(published_cohort.demo, "Observation", "h9", raw)
    published_cohort.poll()
    captured = published_cohort.serving.resource("Observation/h9")
    published_cohort.refresh()
    published_cohort.poll()
    stored = published_cohort.serving.resource("Observation/h9")
    assert (captured.source, stored.source) == ("overlay", "hapi")
    assert captured.text == stored.text
    assert stored.content is not None
    assert stored.content["valueQuantity"]["value"] == Decimal("0.10000000000000000555")


def test_a_point_read_has_the_note_that_an_answer_over_the_same_polls_has(make_world: Callable[..., World]) -> None:
    """Polls that trust timestamps see no expunge either: the note says all that is assumed."""
    world = make_world(exact_scan_max_rows=0, sweep_interval_s=3600, poll_overlap_s=5)
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    world.demo.update(patient("a", "female"))
    world.poll()
    answer, found = world.serving.query("patients"), world.serving.resource("Patient/a")
    assert answer.sources[-1] == found.source == "overlay"
    assert found.notes == answer.notes
    assert "nothing was expunged" in found.notes[0]


def test_deleted_and_unknown_are_told_apart(published_cohort: World) -> None:
    published_cohort.demo.delete("Patient", "b")
    assert known(published_cohort.serving.resource("Patient/b")) == ("hapi", "deleted", 2)
    published_cohort.poll()
    deleted = published_cohort.serving.resource("Patient/b")
    assert (*known(deleted), deleted.text, deleted.content) == ("overlay", "deleted", 2, None, None)
    assert known(published_cohort.serving.resource("Patient/nobody")) == ("hapi", "unknown", None)
    assert known(published_cohort.serving.resource("Device/a")) == ("hapi", "unknown", None)


def test_what_a_generation_covers_is_not_taken_from_the_overlay(published_cohort: World) -> None:
    """The entry "female" was captured before a generation that saw "other"; the overlay still holds it."""
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.poll()
    published_cohort.demo.update(patient("a", "other"))
    published_cohort.refresh()
    found = published_cohort.serving.resource("Patient/a")
    assert (known(found), found.content and found.content["gender"]) == (("hapi", "found", 3), "other")


def test_an_overlay_that_lost_something_is_not_used(published_cohort: World) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.demo.update(patient("b", "female"))
    published_cohort.poll()
    overlay = published_cohort.overlay
    overlay.client.zrem(f"{overlay.prefix}order:Patient", "-1/b")
    assert known(published_cohort.serving.resource("Patient/a")) == ("hapi", "found", 2)


def test_the_point_read_of_another_pipeline_is_not_ours(
    published_cohort: World, make_world: Callable[..., World]
) -> None:
    """Both write fhir:Patient:a, for two hospitals."""
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.poll()
    other = make_world(redis_prefix="other")
    other.refresh()
    other.demo.update(patient("a", "unknown"))
    other.poll()
    found = published_cohort.serving.resource("Patient/a")
    assert (found.source, found.content and found.content["gender"]) == ("hapi", "female")
    assert other.serving.resource("Patient/a").source == "overlay"


@pytest.mark.parametrize("lost", ["clear", "off", "no generation"])
def test_without_the_overlay_the_source_answers(published_cohort: World, empty_world: World, lost: str) -> None:
    published_cohort.demo.update(patient("a", "female"))
    published_cohort.poll()
    serving = published_cohort.serving
    if lost == "clear":
        published_cohort.overlay.clear()
    elif lost == "off":
        serving.settings = serving.settings.model_copy(update={"speed_layer": False})
    else:
        with published_cohort.database.connect() as connection:
            connection.execute("DROP SCHEMA sqlonfhir CASCADE")
    assert known(serving.resource("Patient/a")) == ("hapi", "found", 2)


def test_an_id_in_two_partitions_must_be_named(published_cohort: World) -> None:
    world = published_cohort
    with world.database.connect() as connection:  # HAPI's database partition mode has the partition in this constraint
        connection.execute("ALTER TABLE hfj_resource DROP CONSTRAINT idx_res_type_fhir_id")
    world.demo.update(patient("n", "female"))
    DemoHapi(world.database, partition=5).update(patient("n", "male"))
    DemoHapi(world.database, partition=5).update(patient("m", "male"))
    for poll in (lambda: None, world.poll):
        poll()
        with pytest.raises(AmbiguousResourceError, match="Patient/n@default, Patient/n@5"):
            world.serving.resource("Patient/n")
        found = [world.serving.resource(f"Patient/n@{partition}") for partition in ("default", "5")]
        assert [each.content and each.content["gender"] for each in found] == ["female", "male"]
        assert world.serving.resource("Patient/m").reference == "Patient/m@5"
        assert world.serving.resource("Patient/n@6").status == "unknown"
    assert {each.source for each in found} == {"overlay"}


def test_what_cannot_be_read_is_an_error_with_the_reason(published_cohort: World) -> None:
    published_cohort.demo.update(height("h2", "a"))
    with published_cohort.database.connect() as connection:
        connection.execute(
            "UPDATE hfj_res_ver SET res_encoding = 'ESR' WHERE res_id ="
            " (SELECT res_id FROM hfj_resource WHERE fhir_id = 'h2')"
        )
    for poll in (lambda: None, published_cohort.poll):
        poll()
        with pytest.raises(QuarantinedError, match="Observation/h2 cannot be read: the body is stored outside"):
            published_cohort.serving.resource("Observation/h2")


@pytest.mark.parametrize(
    "reference", ["", "Patient", "Patient/", "patient/1", "Patient/a b", "Patient/1@x", 7, "P/1\n"]
)
def test_other_texts_are_no_references(published_cohort: World, reference: str) -> None:
    with pytest.raises(BadRequestError, match="no reference of a resource"):
        published_cohort.serving.resource(reference)


def listed(world: World, since: datetime) -> list[tuple[str, str]]:
    return [(found.reference, found.status) for found in world.serving.resources("Patient", since=since)]


def test_resources_of_a_type_since_a_moment(published_cohort: World) -> None:
    world = published_cohort
    generation = world.serving.generation()
    assert generation is not None
    began = generation.mark.taken_at
    world.demo.update(patient("n"))
    noon = world.poll().mark
    assert noon is not None
    world.demo.update(patient("a", "female"))
    world.demo.delete("Patient", "b")
    world.demo.update(height("h2", "a"))
    world.poll()
    assert listed(world, noon.taken_at) == [("Patient/a", "found"), ("Patient/b", "deleted")]
    assert listed(world, began) == [("Patient/a", "found"), ("Patient/b", "deleted"), ("Patient/n", "found")]
    (first, *_) = world.serving.resources("Patient", since=noon.taken_at)
    assert first.content is not None
    assert first.content["gender"] == "female"
    assert first.valid_as_of == world.serving.query("patients").valid_as_of
    assert listed(world, first.valid_as_of) == []
    assert [found.reference for found in world.serving.resources("Observation")] == ["Observation/h2"]
    world.serving.settings = world.serving.settings.model_copy(update={"freshness_target_s": 1e-9})
    with pytest.raises(StaleAnswerError):
        world.serving.resources("Patient")


def test_resources_are_refused_where_the_overlay_lacks_some(published_cohort: World) -> None:
    world = published_cohort
    generation = world.serving.generation()
    assert generation is not None
    began = generation.mark.taken_at
    world.demo.update(patient("n"))
    world.poll()
    with pytest.raises(CoverageGapError, match="the overlay begins at"):
        listed(world, began - timedelta(seconds=1))
    with pytest.raises(BadRequestError, match="no view reads Device"):
        world.serving.resources("Device", since=began)
    with pytest.raises(BadRequestError, match="time zone"):
        listed(world, datetime(2026, 1, 31))  # noqa: DTZ001 (a naive moment is the point)
    world.overlay.client.delete("fhir:Patient:n")
    with pytest.raises(CoverageGapError, match="lost the point read of Patient/n"):
        listed(world, began)
    world.overlay.clear()
    with pytest.raises(CoverageGapError, match="gap"):
        listed(world, began)


def test_what_a_generation_covers_is_not_listed(published_cohort: World) -> None:
    """The overlay still holds the entry of before, and the generation a later state."""
    world = published_cohort
    world.demo.update(patient("a", "female"))
    world.poll()
    world.demo.update(patient("a", "other"))
    generation = world.refresh()
    assert listed(world, generation.mark.taken_at) == world.serving.resources("Patient") == []
