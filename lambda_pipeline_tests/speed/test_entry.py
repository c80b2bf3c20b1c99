"""Entries on their way from Redis into SQL."""

import json

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.speed import entry
from lambda_pipeline.speed.entry import join_packed, unpacked_entries
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World


def test_more_rows_than_one_jsonb_array_can_hold(database_url: str) -> None:
    """PostgreSQL refused every live question over a view whose overlay rows were beyond 256 MiB."""
    rows = ["x" * 14_000_000]
    entries = [json.dumps({"k": [-1, str(number)], "s": 1, "v": 1, "r": [rows]}) for number in range(20)]
    database = Database(database_url)
    statement = unpacked_entries("entries")
    with database.connect() as connection:
        found = connection.execute(
            b"SELECT _id, length(_rows -> 0 ->> 0) FROM (" + statement.as_bytes(connection) + b") AS e",
            {"entries": join_packed(entries)},
        ).fetchall()
    database.close()
    assert sorted(found) == sorted((str(number), 14_000_000) for number in range(20))


def test_entries_in_several_parts_give_the_same_answer(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        published_cohort.demo.update(patient(f"n{number}", "female"))
    published_cohort.poll()
    monkeypatch.setattr(entry, "_PART_CHARACTERS", 100)
    assert len(join_packed(["x" * 60] * 4)) == 4
    published_cohort.assert_exact()
    answer = published_cohort.serving.query("patients")
    assert (answer.row_count, answer.counts and answer.counts.added) == (12, 9)
