"""`refresh` and `poll`: what they print, and with what they end when they cannot."""

import json

import psycopg
import pytest

from lambda_pipeline.batch.refresh import REFRESH_LOCK
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program


def test_a_refresh_prints_its_generation(hapi: DemoHapi, program: Program) -> None:
    first = program("refresh")
    assert first.code == 0
    assert first.out.startswith("generation 1 (full), valid as of 20")
    assert "patient_simple" in first.out
    hapi.load([named_patient("fritz", "male")])
    assert program("refresh").out.startswith("generation 2 (incremental, 1 changed resources), valid as of 20")
    assert program("refresh", "--full").out.startswith("generation 3 (full), valid as of 20")


def test_a_refresh_says_what_only_the_keys_told(published: DemoHapi, program: Program) -> None:
    with published.open_transaction() as transaction:
        transaction.delete("Patient", "eva")
        transaction.expunge("Patient", "eva")
    done = program("refresh")
    assert done.out.startswith(
        "generation 2 (incremental, 1 changed resources, 1 of them found only by comparing all keys)"
    )
    repairs = json.loads(program("status", "--json").out)["generation"]["repairs"]
    assert repairs == {"Patient": {"gone": 1, "altered": 0, "resources": ["Patient/eva"]}}


def test_a_refresh_that_cannot_run_ends_with_5(
    published: DemoHapi, database_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_REFRESH_LOCK_TIMEOUT_S", "0.2")
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [REFRESH_LOCK])
        refused = program("refresh")
    assert (refused.code, refused.out) == (5, "")
    assert "another refresh is running: waiting up to" in refused.err
    assert "another refresh is running" in refused.complaint


def test_the_speed_of_messages_is_a_choice(hapi: DemoHapi, program: Program) -> None:
    assert "built" in program("refresh").err
    assert program("--quiet", "refresh", "--full").err == ""


def test_a_poll_before_the_first_generation_has_nothing_to_build_upon(hapi: DemoHapi, program: Program) -> None:
    done = program("poll")
    assert (done.code, done.out) == (1, "")
    assert "run a refresh first" in done.err


def test_a_poll_says_what_it_captured(published: DemoHapi, program: Program) -> None:
    published.load([named_patient("fritz", "male"), named_patient("gerd", "male")])
    published.delete("Condition", "c-adam")
    done = program("poll")
    assert done.code == 0
    assert done.out.startswith(
        "captured 3 changes (1 Condition, 2 Patient); 1 of them deletes; 3 entries in the overlay"
    )
    assert program("poll").out.startswith("captured 0 changes; 3 entries in the overlay")
    again = program("poll", "--rebuild")
    assert again.out.startswith("captured 3 changes (1 Condition, 2 Patient)")
    assert "asked for" in again.err


def test_a_full_overlay_asks_for_a_refresh(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_OVERLAY_MAX_ENTRIES", "1")
    published.load([named_patient("fritz", "male"), named_patient("gerd", "male")])
    done = program("poll")
    assert done.code == 1
    assert "run lambda-pipeline refresh" in done.err
