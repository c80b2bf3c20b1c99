"""Locked tables end a command after a limit; tables and rights that are lost end a refresh by one rule."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from lambda_pipeline import database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.programs import Program


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    with psycopg.connect(url) as session:
        session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.2)


@pytest.mark.timeout(60)
def test_check_does_not_wait_for_a_locked_table_without_limit(
    published: DemoHapi, program: Program, database_url: str, impatient: None
) -> None:
    """`check` hung while a migration held HFJ_RESOURCE."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hfj_resource SET fhir_id = NULL WHERE fhir_id = 'adam'")
    with locked(database_url, "hfj_resource"):
        asked = program("check")
    assert asked.code == 1
    assert "fail HAPI's tables: a table that is needed was locked by another session for more than" in asked.out
    assert "Redis" in asked.out


@pytest.mark.timeout(60)
@pytest.mark.parametrize("table", ["generation", "generation_view", "quarantine"])
def test_no_command_waits_for_the_batch_layer_without_limit(
    published: DemoHapi, program: Program, database_url: str, impatient: None, table: str
) -> None:
    """Questions, `status` and polls hung while a DBA held a table of generations (VACUUM FULL)."""
    with locked(database_url, f"sqlonfhir.{table}"):
        for command in (
            ("query", "patient_simple", "--count"),
            ("query", "patient_simple", "--count", "--mode", "batch"),
            ("status",),
        ):
            asked = program(*command)
            assert (asked.code, asked.out) == (2, ""), command
            assert "locked by another session" in asked.complaint
    assert program("query", "patient_simple", "--count").out == "5\n"


@pytest.mark.parametrize(("default", "limit"), [("0", "200ms"), ("1min", "200ms"), ("100ms", "100ms")])
def test_a_refresh_waits_for_whoever_reads_its_tables(
    database_url: str, impatient: None, default: str, limit: str
) -> None:
    """Its changes of tables wait for readers: the limit of other commands is not its limit."""
    with psycopg.connect(database_url) as session:
        session.execute(f"ALTER DATABASE {session.info.dbname} SET lock_timeout = '{default}'".encode())
    own = database.Database(database_url)
    with own.connect() as connection:
        for _ in range(2):
            assert connection.execute("SHOW lock_timeout").fetchone() == (limit,)
            with database.unlimited_lock_waits(connection):
                assert connection.execute("SHOW lock_timeout").fetchone() == (default,)
    own.close()


LOSSES = {
    "tables": "ALTER TABLE hfj_res_ver RENAME TO gone",
    "columns": "ALTER TABLE hfj_res_ver RENAME res_encoding TO gone",
    "all tables": "ALTER SCHEMA public RENAME TO gone",
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_refresh_that_lost_hapis_tables_ends_with_5(
    published: DemoHapi, program: Program, database_url: str, loss: str
) -> None:
    """Missing tables ended with 2 and lost rights with 5, though in both cases a generation is published and stays."""
    with psycopg.connect(database_url) as connection:
        connection.execute(LOSSES[loss].encode())
    refused = program("refresh")
    assert (refused.code, refused.out) == (5, "")
    assert "HAPI's tables" in refused.complaint
    assert program("query", "patient_simple", "--mode", "batch", "--count").out == "5\n"


def test_a_first_refresh_without_hapis_tables_ends_with_2(hapi: DemoHapi, program: Program, database_url: str) -> None:
    """Nothing is published: HAPI_DB_URL or a setting is wrong."""
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE hfj_res_ver RENAME TO gone")
    assert program("refresh").code == 2
