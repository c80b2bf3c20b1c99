"""The demo's story: its numbers equal the recompute, and it fails if they do not."""

import re

import psycopg
import pytest
import redis

from lambda_pipeline.demo import story
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.overlay import Overlay, Pruned

PATIENTS = 300


def run_story(postgres_url: str, redis_url: str) -> str:
    lines: list[str] = []
    story.run_story(postgres_url, redis_url, Settings(), patients=PATIENTS, print_line=lines.append)
    return "\n".join(lines)


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return re.split(r"\s{2,}", line)[1:]


def test_the_story_ends_where_it_should_and_leaves_nothing_behind(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Settings of the user's own deployment do not affect the story.
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://127.0.0.1:1/hapi")
    monkeypatch.setenv("LAMBDA_PIPELINE_HAPI_SCHEMA", "elsewhere")
    monkeypatch.setenv("LAMBDA_PIPELINE_SPEED_LAYER", "false")
    with redis.Redis.from_url(redis_url) as client:
        client.set("fhir:Patient:of-dev", "1")
        text = run_story(postgres_url, redis_url)
        assert client.keys() == [b"fhir:Patient:of-dev"]
        client.select(story.REDIS_DATABASE)
        assert client.dbsize() == 0
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [story.DATABASE]).fetchone()
    assert found is None

    patients = row(text, "patients")
    assert patients == row(text, "full recompute")
    before, during, after = map(int, patients)
    assert before > 0
    assert during == after == before + 4
    assert row(text, "batch layer alone") == [str(before), str(before), str(after)]
    assert row(text, "added") == ["0", "5", "0"]
    assert row(text, "removed") == ["0", "1", "0"]
    speed, overlap = row(text, "speed_count"), row(text, "overlap_count")
    assert speed[0] == speed[2] == "0"
    assert int(speed[1]) >= int(overlap[1]) > 0
    assert row(text, "sources")[1] == "batch generation 1 + overlay"
    assert "0 entries left in the overlay" in text
    assert re.search(r"Added: (Patient/\S+, ){4}Patient/\S+\.", text)
    assert re.search(r"Removed: Patient/\S+\.\n", text)
    assert "Every answer equals the recompute" in text


def test_the_story_does_not_hide_a_wrong_answer(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An overlay in which every entry counts as covered: merged answers are then those of the generation.
    monkeypatch.setattr("lambda_pipeline.speed.coverage.covered_seq", lambda *_: 2**53)
    with pytest.raises(LambdaPipelineError, match="differs from the recompute"):
        run_story(postgres_url, redis_url)


def test_the_story_does_not_hide_an_overlay_that_is_never_pruned(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A poll replaces an overlay whose entries are all covered, which would leave nothing to prune.
    monkeypatch.setattr("lambda_pipeline.speed.coverage.covers_all", lambda *_: False)
    monkeypatch.setattr(Overlay, "prune", lambda *_: Pruned(0, None))
    with pytest.raises(LambdaPipelineError, match="not pruned"):
        run_story(postgres_url, redis_url)
