"""Keys are compared where a digest says that something left without a trace, and nowhere else."""

from collections.abc import Callable

import pytest

from lambda_pipeline.batch import key_comparison
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.worlds import World

PROFILE = {"profile": ["http://example.org/p"]}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The types whose keys were compared, one set for each comparison."""
    calls: list[set[str]] = []
    compare_keys = key_comparison.compare_keys

    def recorded(connection: object, tables: object, types: set[str]) -> object:
        calls.append(set(types))
        return compare_keys(connection, tables, types)  # type: ignore[arg-type]

    monkeypatch.setattr(key_comparison, "compare_keys", recorded)
    return calls


def come_and_go(world: World) -> None:
    world.demo.update(patient("new"))
    world.demo.update(patient("new", "female"))
    world.demo.update(height("h1", "a", 182, meta=PROFILE))
    world.demo.delete("Condition", "dm-c")
    world.demo.update(condition("dm-d", "new"))
    world.demo.delete("Condition", "dm-d")
    world.demo.update(condition("dm-d", "new"))
    world.demo.meta_add("Patient", "a", PROFILE)


def expunge(world: World, logical_id: str) -> None:
    with world.demo.open_transaction() as transaction:
        transaction.delete("Patient", logical_id)
        transaction.expunge("Patient", logical_id)


def tag_and_delete(world: World) -> None:
    come_and_go(world)
    world.refresh()
    world.demo.update(height("h1", "a", 183))
    world.demo.meta_add("Observation", "h1", {"tag": [{"system": "s", "code": "t"}]})
    world.demo.update(condition("dm-c", "c"))


@pytest.mark.parametrize("changes", [lambda _: None, come_and_go, tag_and_delete], ids=["none", "some", "tags too"])
def test_changes_that_rows_show_are_applied_without_a_comparison(
    published_cohort: World, compared: list[set[str]], changes: Callable[[World], None]
) -> None:
    changes(published_cohort)
    published_cohort.refresh()
    published_cohort.poll()
    assert compared == []
    published_cohort.assert_exact()


def test_the_keys_of_the_type_that_lost_a_resource_are_compared(
    published_cohort: World, compared: list[set[str]]
) -> None:
    come_and_go(published_cohort)
    expunge(published_cohort, "b")
    generation = published_cohort.refresh()
    assert compared == [{"Patient"}]
    assert generation.repairs["Patient"].gone == 1
    compared.clear()
    # What was found is written down: the next refresh has nothing to explain.
    published_cohort.refresh()
    published_cohort.poll()
    assert compared == []
    published_cohort.assert_exact()


def test_a_tag_that_went_is_found_by_the_digest(published_cohort: World, compared: list[set[str]]) -> None:
    published_cohort.demo.update(height("h1", "a", 182, meta=PROFILE))
    published_cohort.refresh()
    published_cohort.demo.meta_delete("Observation", "h1", PROFILE)
    generation = published_cohort.refresh()
    assert compared == [{"Observation"}]
    assert generation.repairs["Observation"].altered == 1


def test_a_resource_that_was_expunged_and_made_again_is_one_resource(
    published_cohort: World, compared: list[set[str]]
) -> None:
    expunge(published_cohort, "b")
    published_cohort.demo.update(patient("b", "female"))
    generation = published_cohort.refresh()
    assert compared == [{"Patient"}]
    assert generation.repaired == 0
    compared.clear()
    published_cohort.demo.delete("Patient", "b")
    published_cohort.refresh()
    assert compared == []
    published_cohort.assert_exact()
