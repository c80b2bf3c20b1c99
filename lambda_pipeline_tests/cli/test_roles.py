"""sql/roles.sql gives two ordinary roles just what they need."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
import sqlalchemy as sa

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.development.embedded.binaries import postgres_installation
from lambda_pipeline.settings import sql_directory
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program

ROLES = ("lambda_pipeline", "lambda_pipeline_reader")


def drop_roles(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for role in ROLES:
            with suppress(psycopg.errors.UndefinedObject):
                connection.execute(f"DROP OWNED BY {role} CASCADE".encode())
                connection.execute(f"DROP ROLE {role}".encode())


def run_script(url: str) -> subprocess.CompletedProcess[str]:
    """Run the script as its first line says."""
    psql = postgres_installation() / "bin" / "psql"
    command = [psql, "-X", "-d", url, "-f", sql_directory() / "roles.sql"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def with_roles(hapi: DemoHapi, database_url: str) -> Iterator[str]:
    """The database after a DBA ran the script, twice; nobody else has rights by chance."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        name = sa.make_url(database_url).database
        connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC'.encode())
    for _ in range(2):
        done = run_script(database_url)
        assert done.returncode == 0, done.stderr
    yield database_url
    drop_roles(database_url)


def test_what_a_superuser_published_becomes_the_roles(
    hapi: DemoHapi, database_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("refresh").code == 0
    try:
        assert run_script(database_url).returncode == 0
        hapi.load([named_patient("fritz", "male")])
        monkeypatch.setenv("HAPI_DB_URL", as_role(database_url, "lambda_pipeline"))
        assert program("refresh").out.startswith("generation 2 (incremental, 1 changed resources)")
        monkeypatch.setenv("HAPI_DB_URL", as_role(database_url, "lambda_pipeline_reader"))
        assert program("query", "patient_simple", "--count").out == "6\n"
    finally:
        drop_roles(database_url)


def as_role(url: str, role: str) -> str:
    return sa.make_url(url).set(username=role).render_as_string(hide_password=False)


def test_the_roles_do_their_work_and_no_more(
    with_roles: str, hapi: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    assert program("check").code == 0
    assert program("refresh").code == 0
    hapi.load([named_patient("fritz", "male")])
    assert program("poll").out.startswith("captured 1 changes")
    assert program("refresh").out.startswith("generation 2 (incremental, 1 changed resources)")
    assert program("refresh", "--full").out.startswith("generation 3 (full)")

    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline_reader"))
    checked = program("check")
    assert checked.code == 0
    assert "warn schema sqlonfhir" in checked.out
    assert "questions work, refresh does not" in checked.out
    for mode in ("live", "batch", "source"):
        asked = program("query", "patient_simple", "--mode", mode, "--count")
        assert (asked.code, asked.out) == (0, "6\n"), (mode, asked.err)
    assert program("sql", str(sql_directory() / "queries" / "male_diabetics.sql"), "--count").out == "2\n"
    assert program("status").code == 0
    assert program("parity", "--all").code == 0

    refused = program("refresh")
    assert (refused.code, refused.out) == (5, "")
    assert "sql/roles.sql" in refused.complaint or "permission denied" in refused.complaint


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_change_hapis_tables(with_roles: str, role: str) -> None:
    with psycopg.connect(as_role(with_roles, role), autocommit=True) as connection:
        for statement in (
            "DELETE FROM hfj_resource",
            "UPDATE hfj_res_ver SET res_text_vc = NULL",
            "CREATE TABLE public.mine (id integer)",
            "TRUNCATE hfj_resource",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_a_reader_may_not_change_the_batch_layer(
    with_roles: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    program("refresh")
    with psycopg.connect(as_role(with_roles, "lambda_pipeline_reader"), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM sqlonfhir.patient_simple").fetchone() == (5,)
        for statement in ("DELETE FROM sqlonfhir.generation", "CREATE TABLE sqlonfhir.mine (id integer)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_check_says_what_an_ordinary_role_lacks(
    with_roles: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(with_roles, autocommit=True) as connection:
        connection.execute("DROP SCHEMA sqlonfhir")
        name = sa.make_url(with_roles).database
        connection.execute(f'REVOKE CREATE, TEMPORARY ON DATABASE "{name}" FROM lambda_pipeline'.encode())
        connection.execute("REVOKE SELECT ON hfj_res_ver FROM lambda_pipeline")
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    checked = program("check")
    assert checked.code == 1
    assert "fail schema sqlonfhir" in checked.out
    assert "fail temporary tables" in checked.out
    assert "this role may not read hfj_res_ver" in checked.out


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("pg_logical_emit_message", "(boolean,text,text,boolean)"),
        ("pg_walfile_name", "(pg_lsn)"),
        ("pg_control_system", "()"),
    ],
)
def test_check_names_functions_that_somebody_took_away(
    with_roles: str, program: Program, monkeypatch: pytest.MonkeyPatch, function: str, arguments: str
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    with psycopg.connect(with_roles, autocommit=True) as connection:
        connection.execute(f"REVOKE EXECUTE ON FUNCTION {function}{arguments} FROM PUBLIC".encode())
        try:
            checked = program("check")
        finally:
            connection.execute(f"GRANT EXECUTE ON FUNCTION {function}{arguments} TO PUBLIC".encode())
    assert checked.code == 1
    assert f"fail {function}(): role lambda_pipeline may not call it" in checked.out
    assert f"GRANT EXECUTE ON FUNCTION {function}{arguments} TO lambda_pipeline" in checked.out


def test_check_tries_whether_large_objects_can_be_read(
    with_roles: str, hapi: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raw(hapi, "Patient", "old", None, encoding="JSON", large_object=b'{"resourceType":"Patient"}')
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    checked = program("check")
    assert checked.code == 1
    assert "fail large objects: 1 current bodies" in checked.out


@pytest.fixture
def owner(hapi: DemoHapi, database_url: str) -> Iterator[str]:
    """The database as its owner connects, an ordinary role that owns HAPI's tables too."""
    name = sa.make_url(database_url).database
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE hapi_owner LOGIN")
        connection.execute(f'ALTER DATABASE "{name}" OWNER TO hapi_owner'.encode())
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            connection.execute(f'ALTER TABLE "{table}" OWNER TO hapi_owner'.encode())
    yield as_role(database_url, "hapi_owner")
    drop_roles(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" OWNER TO postgres'.encode())
        connection.execute("REASSIGN OWNED BY hapi_owner TO postgres")
        connection.execute("DROP OWNED BY hapi_owner CASCADE")
        connection.execute("DROP ROLE hapi_owner")


def as_dba(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


MAKE_ROLES = ("CREATE ROLE lambda_pipeline LOGIN", "CREATE ROLE lambda_pipeline_reader LOGIN")


@pytest.mark.parametrize(
    ("before", "reason"),
    [((), "role hapi_owner is neither a superuser nor has it CREATEROLE"),
     (MAKE_ROLES, "role hapi_owner is not a member of lambda_pipeline")],
)  # fmt: skip
def test_an_owner_without_the_rights_is_told_so_and_nothing_is_changed(
    owner: str, database_url: str, before: tuple[str, ...], reason: str
) -> None:
    """Nine errors followed each other, half of the rights were given, and psql ended with 0."""
    as_dba(database_url, *before)
    done = run_script(owner)
    assert done.returncode != 0
    assert done.stderr.count("ERROR:") == 1
    assert reason in done.stderr
    assert "GRANT lambda_pipeline TO hapi_owner" in done.stderr
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('sqlonfhir') IS NULL").fetchone() == (True,)


@pytest.mark.parametrize(
    "before", [("ALTER ROLE hapi_owner CREATEROLE",), (*MAKE_ROLES, "GRANT lambda_pipeline TO hapi_owner")]
)
def test_an_owner_with_the_rights_runs_it_twice(
    owner: str, database_url: str, program: Program, monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...]
) -> None:
    as_dba(database_url, *before)
    for _ in range(2):
        done = run_script(owner)
        assert (done.returncode, done.stderr.count("ERROR:")) == (0, 0)
        assert "ALTER ROLE lambda_pipeline_reader SET temp_file_limit = '4GB'" in done.stderr
    monkeypatch.setenv("HAPI_DB_URL", as_role(database_url, "lambda_pipeline"))
    assert program("refresh").code == 0
    assert run_script(owner).returncode == 0
    monkeypatch.setenv("HAPI_DB_URL", as_role(database_url, "lambda_pipeline_reader"))
    assert program("query", "patient_simple", "--count").out == "5\n"


def test_a_reader_takes_no_more_of_the_server_than_its_role_may(database_url: str, hapi: DemoHapi) -> None:
    """A sort of one question wrote 1.6 GB of temporary files in 6 s. What somebody else chose stays."""
    try:
        assert run_script(database_url).stderr == ""
        as_dba(database_url, "ALTER ROLE lambda_pipeline_reader SET work_mem = '7MB'")
        assert run_script(database_url).stderr == ""
        with psycopg.connect(as_role(database_url, "lambda_pipeline_reader")) as connection:
            shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("work_mem", "temp_file_limit")]
        assert shown == [("7MB",), ("4GB",)]
    finally:
        drop_roles(database_url)


def test_a_refresh_that_lost_a_right_ends_with_5(
    with_roles: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with 2, as if a setting were wrong, though a generation is published and stays."""
    monkeypatch.setenv("HAPI_DB_URL", as_role(with_roles, "lambda_pipeline"))
    assert program("refresh").code == 0
    as_dba(with_roles, "REVOKE SELECT ON hfj_res_ver FROM lambda_pipeline")
    refused = program("refresh")
    assert refused.code == 5
    assert "this role may not read hfj_res_ver" in refused.complaint
    assert program("query", "patient_simple", "--mode", "batch", "--count").out == "5\n"
