"""`parity`, and what `refresh` says of it: what is printed, and with which code they end."""

import psycopg
import pytest
import redis

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program


def tamper(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE sqlonfhir.patient_simple__1 SET gender = 'swordfish' WHERE _id = 'bert'")


def test_a_refresh_says_that_a_sample_was_compared(hapi: DemoHapi, program: Program) -> None:
    done = program("refresh")
    assert done.code == 0
    assert "parity of batch: 16 resources compared, no difference (seed " in done.err
    assert "parity of live: 16 resources compared, no difference (seed " in done.err
    assert "parity" not in done.out


def test_a_refresh_that_finds_a_difference_is_published_and_ends_with_1(
    published: DemoHapi, database_url: str, program: Program
) -> None:
    tamper(database_url)
    done = program("refresh")
    assert done.code == 1
    assert done.out.startswith("generation 2 ")
    assert "1 differ: Patient/bert in patient_simple (1 rows served, 1 recomputed)" in done.complaint
    assert "lambda-pipeline refresh --full builds all views from the source" in done.complaint
    assert "swordfish" not in done.err
    assert program("refresh", "--full").code == 0


def test_the_check_of_a_refresh_can_be_switched_off(
    published: DemoHapi, database_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamper(database_url)
    monkeypatch.setenv("LAMBDA_PIPELINE_PARITY_SAMPLE", "0")
    done = program("refresh")
    assert (done.code, "parity" in done.err) == (0, False)
    assert program("parity").code == 1


def test_a_refresh_whose_live_rows_cannot_be_compared_says_so_and_is_done(
    hapi: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")
    done = program("refresh")
    assert done.code == 0
    assert "warning: parity of live was not checked: refused [coverage-gap]" in done.err


@pytest.mark.parametrize("options", [(), ("--all",), ("--sample", "3"), ("--mode", "batch"), ("--mode", "live")])
def test_parity_holds_and_is_told_view_by_view(published: DemoHapi, program: Program, options: tuple[str, ...]) -> None:
    published.load([named_patient("fritz", "male")])
    assert program("poll").code == 0
    done = program("parity", *options)
    assert done.code == 0
    modes = {line.split()[0] for line in done.out.splitlines()[2:]}
    assert modes == ({options[1]} if options[:1] == ("--mode",) else {"batch", "live"})
    assert "patient_simple" in done.out
    assert "seed " in done.err


def test_what_differs_is_named_on_stdout_and_ends_with_1(
    published: DemoHapi, database_url: str, program: Program
) -> None:
    tamper(database_url)
    done = program("parity", "--all")
    assert done.code == 1
    for mode in ("batch", "live"):
        assert f"{mode}: Patient/bert in patient_simple (1 rows served, 1 recomputed)" in done.out.splitlines()
    assert done.complaint == "lambda-pipeline: 2 resources are served differently from their recompute"
    assert "swordfish" not in done.out + done.err


def test_a_seed_is_repeated(published: DemoHapi, program: Program) -> None:
    assert "seed 7" in program("parity", "--sample", "1", "--seed", "7").err


def test_what_was_expunged_since_is_undecided(published: DemoHapi, database_url: str, program: Program) -> None:
    published.delete("Patient", "eva")
    published.expunge("Patient", "eva")
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_current_xact_id()")
    done = program("parity", "--mode", "batch")
    assert done.code == 0
    assert "undecided: Patient/eva differs in batch" in done.err


def test_a_refused_comparison_ends_with_4_and_says_how_to_get_one(
    hapi: DemoHapi, redis_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = program("parity")
    assert (refused.code, refused.out) == (4, "")
    assert refused.complaint == (
        "lambda-pipeline: refused [no-generation]: no generation has been published yet; missing: a first generation; "
        "to get an answer anyway: run lambda-pipeline refresh, or ask with mode source"
    )
    assert program("refresh").code == 0
    monkeypatch.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    refused = program("parity")
    assert refused.code == 4
    assert "batch" in refused.out
    assert "coverage-gap" in refused.complaint


def test_a_contradiction_ends_with_3(published: DemoHapi, program: Program) -> None:
    for options in (("--all", "--sample", "3"), ("--mode", "source"), ("--sample", "0")):
        assert program("parity", *options).code == 3
