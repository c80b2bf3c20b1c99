"""Rights taken away, limits of a millisecond, servers that end: every door says what is wrong, with a code."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from lambda_pipeline.api import open_deployment
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.programs import Program

ROLE = "hurt"
HURTS = {
    "no schema": "REVOKE USAGE ON SCHEMA sqlonfhir FROM hurt",
    "no views": "REVOKE SELECT ON ALL TABLES IN SCHEMA sqlonfhir FROM hurt",
    "no table of generations": "REVOKE SELECT ON sqlonfhir.generation FROM hurt",
    "no quarantine": "REVOKE SELECT ON sqlonfhir.quarantine FROM hurt",
    "no tables of HAPI": "REVOKE SELECT ON hfj_resource, hfj_res_ver FROM hurt",
    "no login": "ALTER ROLE hurt NOLOGIN",
    "no connections": "ALTER ROLE hurt CONNECTION LIMIT 0",
    "1 ms": "ALTER ROLE hurt SET statement_timeout = '1ms'",
    "2 ms": "ALTER ROLE hurt SET statement_timeout = '2ms'",
    "1 ms in a transaction": "ALTER ROLE hurt SET idle_in_transaction_session_timeout = '1ms'",
    "read only": "ALTER ROLE hurt SET default_transaction_read_only = on",
}
COMMANDS = [
    ("query", "patient_simple", "--count"),
    ("query", "patient_simple", "--count", "--mode", "batch"),
    ("query", "patient_simple", "--count", "--mode", "source"),
    ("query", "patient_simple", "--count", "--max-age", "0.001"),
    ("sql", "FILE", "--compare"),
    ("status",),
    ("status", "--json"),
    ("check",),
    ("parity",),
    ("poll",),
    ("refresh",),
    ("views", "list"),
    ("views", "drop", "patient_simple"),
]


@pytest.fixture
def hurt(published: DemoHapi, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`hurt(name)`: the program connects as a role with all rights, hurt as HURTS says."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            CREATE ROLE hurt LOGIN;
            GRANT ALL ON SCHEMA public, sqlonfhir TO hurt;
            GRANT ALL ON ALL TABLES IN SCHEMA public, sqlonfhir TO hurt;
        """)
        url = sa.make_url(database_url).set(username=ROLE).render_as_string(hide_password=False)
        monkeypatch.setenv("HAPI_DB_URL", url)
        yield lambda name: connection.execute(HURTS[name].encode()) and None
        connection.execute("DROP OWNED BY hurt CASCADE")
        connection.execute("DROP ROLE hurt")


@pytest.mark.parametrize("name", HURTS)
def test_every_command_ends_with_a_line_of_ours(
    hurt: Callable[[str], None], program: Program, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "question.sql"
    file.write_text("SELECT count(*) AS n FROM patient_simple")
    hurt(name)
    for command in COMMANDS:
        done = program(*[str(file) if word == "FILE" else word for word in command])
        assert "this is a bug" not in done.err, (command, done.err)
        assert done.code == 0 or done.err or done.out, command


@pytest.mark.parametrize("name", HURTS)
def test_every_call_of_the_api_ends_with_an_error_of_ours(hurt: Callable[[str], None], name: str) -> None:
    hurt(name)
    load_settings.cache_clear()
    with open_deployment() as deployment:
        serving = deployment.serving
        for _ in range(3):
            for call in (
                serving.generation,
                deployment.refresh,
                *(lambda mode=mode: serving.query("patient_simple", mode=mode) for mode in ("live", "batch", "source")),
                lambda: serving.query("patient_simple", freshness_target_s=0),
                lambda: serving.select("SELECT count(*) AS n FROM patient_simple", compare=True),
                lambda: serving.select("SELECT count(*) AS n FROM patient_simple", mode="source"),
                lambda: serving.select("SELECT 1 AS n", limit=1),
            ):
                with suppress(LambdaPipelineError):
                    call()


def test_every_command_ends_with_a_line_of_ours_without_servers(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LAMBDA_PIPELINE_CONNECT_TIMEOUT_S", "1")
    for url in (None, "postgresql://nobody@127.0.0.1:1/hapi"):
        if url:
            monkeypatch.setenv("HAPI_DB_URL", url)
        for command in COMMANDS:
            if "FILE" not in command:
                assert "this is a bug" not in program(*command).err, command
