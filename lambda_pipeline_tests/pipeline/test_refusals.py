"""Every refusal, provoked: its code, its reason, what was missing and how to get an answer anyway."""

from collections.abc import Callable, Iterator

import pytest

from lambda_pipeline import errors
from lambda_pipeline.errors import AnswerRefusedError
from lambda_pipeline.serving import read
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.definitions import CONDITIONS, DEFINITIONS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

Provoke = Callable[[World, pytest.MonkeyPatch], None]


def subclasses(error: type[AnswerRefusedError]) -> Iterator[type[AnswerRefusedError]]:
    """The class and all below it."""
    yield error
    for each in error.__subclasses__():
        yield from subclasses(each)


REFUSALS = tuple(subclasses(AnswerRefusedError))


def without_source(world: World) -> None:
    world.serving.settings = world.settings.model_copy(update={"read_source_on_gap": False})


def ask_before_the_first_generation(world: World, _: pytest.MonkeyPatch) -> None:
    world.serving.query("patients")


def ask_for_a_new_view(world: World, _: pytest.MonkeyPatch) -> None:
    world.refresh()
    world.use([*DEFINITIONS, {**CONDITIONS, "name": "more_conditions"}])
    world.serving.query("more_conditions", mode="batch")


def ask_during_a_gap(world: World, _: pytest.MonkeyPatch) -> None:
    world.refresh()
    without_source(world)
    world.serving.query("patients")


def ask_across_too_large_a_window(world: World, _: pytest.MonkeyPatch) -> None:
    world.refresh()
    for logical_id in ("a", "b"):
        world.demo.update(patient(logical_id))
    world.serving.settings = world.settings.model_copy(update={"overlay_max_entries": 1})
    world.serving.query("patients")


def ask_for_something_newer(world: World, _: pytest.MonkeyPatch) -> None:
    world.refresh()
    world.poll()
    without_source(world)
    world.serving.query("patients", freshness_target_s=1e-9)


def ask_with_another_zone(world: World, _: pytest.MonkeyPatch) -> None:
    world.refresh()
    world.serving.settings = world.settings.model_copy(update={"source_timezone": "Europe/Zurich"})
    world.serving.query("patients", mode="batch")


def ask_without_accepting_the_quarantined(world: World, _: pytest.MonkeyPatch) -> None:
    write_raw(world.demo, "Patient", "broken", "{no json")
    world.refresh()
    world.serving.query("patients", accept_quarantined=False)


def ask_while_definitions_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.refresh()
    monkeypatch.setattr(read, "_ATTEMPTS", 0)
    world.serving.query("patients")


PROVOKED: list[tuple[type[AnswerRefusedError], Provoke, str]] = [
    (errors.NoGenerationError, ask_before_the_first_generation, "no generation has been published yet"),
    (errors.ViewNotPublishedError, ask_for_a_new_view, "view more_conditions is not in the published generation"),
    (errors.CoverageGapError, ask_during_a_gap, "the overlay has a gap: there is no overlay in Redis"),
    (errors.CoverageGapError, ask_across_too_large_a_window, "2 changes since the published generation are too many"),
    (errors.StaleAnswerError, ask_for_something_newer, "the frontier is"),
    (
        errors.SettingsChangedError,
        ask_with_another_zone,
        "LAMBDA_PIPELINE_SOURCE_TIMEZONE changed from UTC to Europe/Zurich since the published generation was made",
    ),
    (
        errors.QuarantinedError,
        ask_without_accepting_the_quarantined,
        "1 resources cannot be read, first Patient/broken",
    ),
    (errors.AnswerRefusedError, ask_while_definitions_change, "the view definitions kept changing"),
]


@pytest.mark.parametrize(("kind", "provoke", "reason"), PROVOKED, ids=[each[1].__name__ for each in PROVOKED])
def test_a_refusal_says_code_reason_what_was_missing_and_how_to_get_an_answer(
    empty_world: World, monkeypatch: pytest.MonkeyPatch, kind: type[AnswerRefusedError], provoke: Provoke, reason: str
) -> None:
    with pytest.raises(AnswerRefusedError) as raised:
        provoke(empty_world, monkeypatch)
    refusal = raised.value
    assert type(refusal) is kind
    said = str(refusal)
    assert said.startswith(f"refused [{kind.code}]: {reason}")
    assert f"; missing: {kind.missing}; to get an answer anyway: {refusal.hint}" in said
    assert refusal.hint


def test_every_refusal_is_provoked_above() -> None:
    assert {kind for kind, _, _ in PROVOKED} == set(REFUSALS)


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.code)
def test_a_refusal_knows_its_ways_out_whoever_raises_it(kind: type[AnswerRefusedError]) -> None:
    refusal = kind("why")
    assert refusal.missing
    assert refusal.ways_out
    assert refusal.hint == "; ".join(kind.ways_out)
    assert refusal.exit_code == 4


def test_codes_are_told_apart() -> None:
    assert len({kind.code for kind in REFUSALS}) == len(REFUSALS)
