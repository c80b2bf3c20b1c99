"""Servers that are missing or unreachable, the embedded source, and the words of `--help`."""

import json
from pathlib import Path

import psycopg
import pytest
from click import Context

from lambda_pipeline.cli.program import COMMANDS
from lambda_pipeline.cli.program import program as root
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.development import dev, embedded
from lambda_pipeline_tests.support.programs import Program

NEEDS_HAPI = [
    ("refresh",),
    ("poll",),
    ("query", "patient_simple"),
    ("status",),
    ("views", "list"),
    ("views", "drop", "patient_simple"),
]


@pytest.mark.parametrize("arguments", NEEDS_HAPI)
def test_a_database_that_cannot_be_reached_is_one_line_and_2(
    program: Program, redis_url: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://nobody:secret@127.0.0.1:1/hapi")
    monkeypatch.setenv("REDIS_URL", redis_url)
    if arguments[:2] == ("views", "drop"):
        arguments = ("views", "drop", "unknown")
    asked = program(*arguments)
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.count("\n") == 1
    assert "HAPI_DB_URL" in asked.complaint
    assert "secret" not in asked.err


def test_dev_starts_nothing_where_a_configured_server_cannot_be_reached(
    program: Program, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", "postgresql://nobody:secret@127.0.0.1:1/hapi")
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(tmp_path / "home"))
    asked = program("dev", "--detach", "--port", "3999")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_a_redis_that_cannot_be_reached_is_one_line_and_2(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    asked = program("poll")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.count("\n") == 1
    assert "Redis" in asked.complaint
    assert "secret" not in asked.err
    # A question needs it less: the source can be read instead, and the answer says so.
    answered = program("query", "patient_simple", "--count")
    assert (answered.code, answered.out) == (0, "5\n")
    assert "hapi" in answered.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HAPI_DB_URL", "mysql://localhost/hapi"),
        ("HAPI_DB_URL", "no url"),
        ("REDIS_URL", "http://localhost"),
        ("BATCH_DB_URL", "postgresql://localhost/batch"),
        ("LAMBDA_PIPELINE_POLL_INTERVAL_S", "-1"),
        ("LAMBDA_PIPELINE_SPEED_LAYER", "maybe"),
    ],
)
def test_a_setting_that_cannot_work_is_one_line_and_2(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    asked = program("query", "patient_simple", "--count")
    assert (asked.code, asked.out) == (2, "")
    assert name.removeprefix("LAMBDA_PIPELINE_").lower() in asked.complaint.lower()


def test_files_never_go_into_a_configured_database(hapi: DemoHapi, program: Program, tmp_path: Path) -> None:
    file = tmp_path / "more.ndjson"
    file.write_text('{"resourceType":"Patient","id":"fritz"}\n')
    refused = program("load", str(file))
    assert (refused.code, refused.out) == (2, "")
    assert "HAPI_DB_URL is set" in refused.complaint
    with hapi.database.connect() as connection:
        assert connection.execute("SELECT FROM hfj_resource WHERE fhir_id = 'fritz'").fetchall() == []


@pytest.fixture
def own_source(server_home: Path, postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The embedded source of the session's servers, empty."""
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    url = embedded.start(server_home).postgres_url
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE hapi WITH (FORCE)")
        connection.execute("CREATE DATABASE hapi")
    return url


def test_files_go_into_the_embedded_source(own_source: str, program: Program, tmp_path: Path) -> None:
    empty = program("refresh")
    assert empty.code == 2
    assert "the embedded source has no data" in empty.complaint
    assert "warn HAPI's tables" in program("check").out

    file = tmp_path / "patients.ndjson"
    file.write_text("".join(f'{{"resourceType":"Patient","id":"p{number}","gender":"male"}}\n' for number in range(3)))
    loaded = program("load", str(file))
    assert loaded.code == 0
    assert loaded.out.splitlines()[-1].split() == [str(file), "3"]
    assert program("refresh").code == 0
    assert program("query", "patient_simple", "--count").out == "3\n"


def test_a_line_that_cannot_be_loaded_is_named_and_the_others_are_loaded(
    own_source: str, program: Program, tmp_path: Path
) -> None:
    file = tmp_path / "bad.ndjson"
    file.write_text('{"resourceType":"Patient","id":"p1"}\n{"id":"x"}\n{"resourceType":"Pati')
    loaded = program("load", str(file))
    assert loaded.code == 1
    assert loaded.out.splitlines()[-1].split() == [str(file), "1"]
    assert "bad.ndjson line 2: resourceType is missing" in loaded.err
    assert "bad.ndjson line 3: not JSON" in loaded.err
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Patient"}}]}
    (tmp_path / "reads.json").write_text(json.dumps(bundle))
    read = program("load", str(tmp_path / "reads.json"))
    assert (read.code, read.out.splitlines()[-1].split()[-1]) == (0, "0")
    assert "reads.json: 1 requests that only read were left out" in read.err
    assert program("load", str(tmp_path / "missing.ndjson")).code == 3


def test_clean_removes_the_home(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(home))
    embedded.start(home, postgres=False)
    assert program("clean").code == 0
    assert not home.exists()
    assert embedded.running(home) is None
    assert program("clean").code == 0


def test_stop_keeps_the_data(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(home))
    embedded.start(home, postgres=False)
    try:
        assert program("stop").code == 0
        assert embedded.running(home) is None
        assert home.exists()
    finally:
        embedded.clean(home)


def test_dev_passes_its_options_on(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []

    def run(**options: object) -> int:
        told.append(options)
        return 1

    monkeypatch.setattr(dev, "run", run)
    assert program("dev", "--port", "3100", "--detach", "--changing").code == 1
    assert told == [{"port": 3100, "detach": True, "changing": True, "patients": 1_000}]


def test_help_documents_commands_and_exit_codes(program: Program) -> None:
    shown = program("--help")
    assert shown.code == 0
    for command in COMMANDS:
        assert f"  {command} " in shown.out
    for code in range(6):
        assert f"  {code}  " in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_of_itself_what_the_list_says(name: str) -> None:
    command = root.get_command(Context(root), name)
    assert command is not None
    assert command.help is not None
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name][1]


def test_an_unforeseen_error_shows_no_data(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("patient O'adam")

    monkeypatch.setattr("lambda_pipeline.serving.Serving.query", fail)
    asked = program("query", "patient_simple")
    assert asked.code == 1
    assert "ValueError" in asked.complaint
    assert "adam" not in asked.err


@pytest.mark.parametrize("command", ["status", "check"])
def test_to_look_starts_nothing(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Without the exported home both started a second, empty pair of servers, and reported that as unhealthy."""
    home = tmp_path / "home"
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(home))
    asked = program(command)
    assert asked.code == 2
    assert f"no embedded PostgreSQL runs in {home}" in asked.out + asked.err
    assert embedded.running(home) is None
    assert not home.exists()


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("check", 2)])
def test_to_look_does_not_revive_a_dead_redis(
    own_source: str,
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    code: int,
) -> None:
    file = tmp_path / "patients.ndjson"
    file.write_text('{"resourceType":"Patient","id":"p"}\n')
    assert program("load", str(file)).code == 0
    assert program("refresh").code == 0
    monkeypatch.setenv("HAPI_DB_URL", own_source)
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(tmp_path / "another"))
    asked = program(command)
    assert asked.code == code
    assert "Redis" in asked.out
    assert embedded.running(tmp_path / "another") is None
