"""Answers that looked right and were not shown to be: found by mutation, and by users."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lambda_pipeline.errors import CoverageGapError
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World


def test_a_resource_that_can_be_read_again_leaves_quarantine(published_cohort: World) -> None:
    """A refresh that updates a view did not have to release what it read again."""
    world = published_cohort
    write_raw(world.demo, "Patient", "a", "{no json")
    world.refresh()
    assert [found.resource for found in world.serving.query("patients", mode="batch").quarantined] == ["Patient/a"]
    world.demo.update(patient("a", "other"))
    assert world.refresh().build_kind == "incremental"
    world.poll()
    for mode in ("batch", "live", "source"):
        answer = world.serving.query("patients", mode=mode)
        assert not answer.quarantined
        assert answer.row_count == 3
    assert world.serving.generation().views["patients"].quarantined == 0  # type: ignore[union-attr]


def move_ahead(world: World) -> None:
    """Let the overlay state a poll that this database has not reached, as after a copy of it was put back."""
    state = world.overlay.read_status().state
    assert state
    ahead = replace(state.mark, xmax=state.mark.xmax + 1_000)
    world.overlay.client.hset(world.overlay.prefix + "state", "mark", str(ahead))


def test_an_overlay_that_is_ahead_of_the_database_is_not_merged(published_cohort: World) -> None:
    """A database that was put back in time lacks changes that the overlay has."""
    world = published_cohort
    world.demo.update(patient("a", "other"))
    world.poll()
    move_ahead(world)
    answer = world.serving.query("patients")
    assert answer.sources[-1] == "hapi"
    assert any("ahead of this database" in note for note in answer.notes)
    world.serving.settings = world.settings.model_copy(update={"read_source_on_gap": False})
    with pytest.raises(CoverageGapError, match="ahead of this database"):
        world.serving.query("patients")
    assert world.poll().rebuilt == "the overlay is ahead of this database"
    assert isinstance(world.poll().mark, SnapshotMark)
    world.assert_exact()


def test_an_old_overlay_is_not_answered_in_silence(published_cohort: World) -> None:
    """With the sensor stopped for minutes, live answers were those of the last poll, without a note."""
    world = published_cohort
    world.demo.update(patient("a", "female"))
    state = world.overlay.read_status().state
    assert state
    older = replace(state.mark, taken_at=state.mark.taken_at - timedelta(seconds=40))
    world.overlay.client.hset(world.overlay.prefix + "state", "mark", str(older))
    batch = world.serving.generation()
    assert batch
    with world.database.connect() as connection:
        text = str(replace(batch.mark, taken_at=batch.mark.taken_at - timedelta(seconds=40)))
        connection.execute("UPDATE sqlonfhir.generation SET mark = %(mark)s", {"mark": text})
    answer = world.serving.query("patients")
    assert answer.sources[-1] == "hapi"
    assert any("s old: the changes were read from HAPI's tables" in note for note in answer.notes)
    assert world.rows("patients") == world.rows("patients", "source")
    world.serving.settings = world.settings.model_copy(update={"freshness_target_s": math.inf})
    assert world.serving.query("patients").sources[-1] == "overlay"


def test_order_keys_lost_during_a_poll_are_not_counted_as_never_there(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script that publishes checked revision and polls, and did not have to check the keys of each type."""
    world = published_cohort
    world.demo.update(patient("a", "other"))
    world.demo.update(patient("d"))
    world.poll()
    world.demo.update(patient("b", "other"))
    publish = Overlay.publish
    lost = []

    def lose_first(self: Overlay, *arguments: Any, **options: Any) -> Any:
        if not lost:
            lost.append(self.client.delete(self.prefix + "order:Patient"))
        return publish(self, *arguments, **options)

    monkeypatch.setattr(Overlay, "publish", lose_first)
    poll = world.poll()
    assert lost == [1]
    assert poll.rebuilt
    assert poll.entries == 3
    world.assert_exact()
