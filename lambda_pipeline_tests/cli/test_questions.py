"""`query` and `sql`: results on standard output, everything else beside it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from lambda_pipeline.cli import question_options
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.hapi.unusual_rows import write_raw
from lambda_pipeline_tests.support.hospital import confirmed_condition, named_patient
from lambda_pipeline_tests.support.programs import Program

MEN = "SELECT patient_id FROM patient_simple WHERE gender = :gender ORDER BY 1"


@pytest.fixture
def men(tmp_path: Path) -> str:
    file = tmp_path / "men.sql"
    file.write_text(MEN)
    return str(file)


def test_a_count_is_the_only_thing_on_standard_output(published: DemoHapi, program: Program) -> None:
    asked = program("query", "patient_simple", "--where", "gender", "eq", "male", "--count")
    assert (asked.code, asked.out) == (0, "3\n")
    assert "batch alone 3" in asked.err
    assert "valid as of" in asked.err


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("eq", "1960", {"bert"}),
        ("ne", "1960", {"adam", "carl", "dora", "eva"}),
        ("lt", "1960", {"adam"}),
        ("le", "1960", {"adam", "bert"}),
        ("gt", "1980", {"dora", "eva"}),
        ("ge", "1980-05-05", {"dora", "eva"}),
        ("in", "1960,1970-05-05", {"bert", "carl"}),
        ("between", "1955,1975", {"bert", "carl"}),
        ("contains", "05-05", {"carl", "dora", "eva"}),
        ("is-null", "true", set()),
    ],
)
def test_every_operator_can_be_asked(
    published: DemoHapi, program: Program, operator: str, value: str, expected: set[str]
) -> None:
    asked = program(
        "query", "patient_simple", "--where", "birth_date", operator, value, "--columns", "id", "--format", "csv"
    )
    assert asked.code == 0
    assert set(asked.out.split()[1:]) == expected


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1 / (length(gender) - length(gender)) AS n FROM patient_simple", "division by zero"),
        ("SELECT family::integer AS n FROM patient_simple", "cannot be converted to the type that the statement"),
        ("SELECT family::date AS n FROM patient_simple", "cannot be read as a date"),
        ("SELECT (SELECT id FROM patient_simple) AS n", "gives several rows"),
    ],
)
def test_a_statement_that_fails_on_a_value_says_how_and_not_on_which(
    published: DemoHapi, program: Program, tmp_path: Path, statement: str, said: str
) -> None:
    file = tmp_path / "question.sql"
    file.write_text(statement)
    asked = program("sql", str(file))
    assert (asked.code, asked.out) == (1, "")
    assert said in asked.complaint
    assert "O'" not in asked.err


def test_sql_that_cannot_be_read_is_answered_without_the_parsers_own_words(
    published: DemoHapi, program: Program, tmp_path: Path
) -> None:
    file = tmp_path / "question.sql"
    file.write_text("SELECT FROM WHERE")
    asked = program("sql", str(file))
    assert asked.code == 3
    assert asked.complaint == "lambda-pipeline: SQL, line 1, column 17: Expected table name"


def test_several_filters_must_all_hold(published: DemoHapi, program: Program) -> None:
    asked = program(
        "query", "patient_simple", "--where", "gender", "eq", "male", "--where", "birth_date", "gt", "1965", "--count"
    )
    assert asked.out == "1\n"


def test_rows_come_as_csv_json_lines_and_table(published: DemoHapi, program: Program) -> None:
    question = ("query", "patient_simple", "--where", "id", "eq", "adam", "--columns", "id,family,deceased")
    rows = list(csv.reader(io.StringIO(program(*question, "--format", "csv").out)))
    assert rows == [["id", "family", "deceased"], ["adam", "O'adam, adam", "false"]]
    assert json.loads(program(*question, "--format", "jsonl").out) == {
        "id": "adam",
        "family": "O'adam, adam",
        "deceased": False,
    }
    table = program(*question).out.splitlines()
    assert table[0].split() == ["id", "family", "deceased"]
    assert len(table) == 3


def test_a_limit_cuts_rows_and_not_the_count(published: DemoHapi, program: Program) -> None:
    asked = program("query", "patient_simple", "--limit", "2", "--format", "csv")
    assert len(asked.out.splitlines()) == 3
    assert asked.err.startswith("5 rows")
    assert program("query", "patient_simple", "--limit", "2", "--count").out == "5\n"


def test_the_modes_tell_batch_and_speed_apart(published: DemoHapi, program: Program) -> None:
    published.load([named_patient("fritz", "male")])
    published.update(named_patient("adam", "female", "1950-01-31"))
    published.delete("Patient", "bert")
    question = ("query", "patient_simple", "--where", "gender", "eq", "male", "--count")
    assert program(*question).out == "3\n"
    assert program("poll").out.startswith("captured 3 changes (3 Patient); 1 of them deletes")
    live = program(*question)
    assert live.out == "2\n"
    assert "batch alone 3; added 1, removed 2; overlay 3 entries, 2 of them over batch rows" in live.err
    assert program(*question, "--mode", "batch").out == "3\n"
    assert program(*question, "--mode", "source").out == "2\n"


def test_a_maximal_age_makes_the_answer_fresh(published: DemoHapi, program: Program) -> None:
    published.load([named_patient("fritz", "male")])
    fresh = program("query", "patient_simple", "--count", "--max-age", "0.000001")
    assert fresh.out == "6\n"
    assert "hapi" in fresh.err


def test_sql_takes_parameters_a_file_or_standard_input(
    published: DemoHapi, program: Program, men: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("sql", men, "--param", "gender=male", "--format", "csv").out == "patient_id\nadam\nbert\ncarl\n"
    assert program("sql", men, "--param", "gender=x' OR 'a'='a", "--count").out == "0\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"SELECT count(*) AS n FROM condition_simple")))
    assert program("sql", "-", "--format", "jsonl").out == '{"n": 3}\n'


def test_sql_compares_with_batch_alone(published: DemoHapi, program: Program, men: str) -> None:
    published.load([named_patient("fritz", "male"), confirmed_condition("c-fritz", "fritz")])
    program("poll")
    asked = program("sql", men, "--param", "gender=male", "--compare", "--count")
    assert asked.out == "4\n"
    assert "batch alone 3; added 1, removed 0; overlay 1 entries, 0 of them over batch rows" in asked.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("query", "patient_simpel"), "did you mean patient_simple?"),
        (("query", "patient_simple", "--columns", "gendr"), "did you mean gender?"),
        (("query", "patient_simple", "--where", "gendr", "eq", "male"), "gendr"),
        (("query", "patient_simple", "--where", "gender", "equals", "male"), "equals"),
        (("query", "patient_simple", "--where", "active", "eq", "perhaps"), "active"),
        (("query", "patient_simple", "--where", "birth_date", "between", "1970"), "birth_date"),
        (("sql", "no-such-file.sql"), "no-such-file.sql"),
        (("sql", "no-such-file.sql"), "use - for a statement on standard input"),
        (("sql", "SELECT 1 AS x"), "FILE is the name of a file, and not a statement (- reads standard input: echo"),
        (("sql", f"SELECT {', '.join('x' * 9)} FROM patient_simple" * 9), "- reads standard input"),
    ],
)
def test_what_cannot_be_asked_is_named(
    published: DemoHapi, program: Program, arguments: tuple[str, ...], named: str
) -> None:
    asked = program(*arguments)
    assert (asked.code, asked.out) == (3, "")
    assert named in asked.complaint


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("DELETE FROM patient_simple", ()),
        ("SELECT 1; SELECT 2", ()),
        ("SELECT * FROM hfj_resource", ()),
        ("SELECT * FROM public.hfj_resource", ()),
        ("SELECT pg_read_file('/etc/passwd')", ()),
        (MEN, ()),
        (MEN, ("--param", "gender")),
        (MEN, ("--param", "gender=male", "--param", "gender=female")),
        (MEN, ("--param", "gender=male", "--param", "age=3")),
    ],
)
def test_sql_that_is_no_question_is_refused(
    published: DemoHapi, program: Program, tmp_path: Path, statement: str, parameters: tuple[str, ...]
) -> None:
    file = tmp_path / "bad.sql"
    file.write_text(statement)
    asked = program("sql", str(file), *parameters)
    assert (asked.code, asked.out) == (3, "")
    assert asked.complaint


@pytest.mark.parametrize(
    "arguments",
    [
        ("query",),
        ("query", "patient_simple", "--limit", "-1"),
        ("query", "patient_simple", "--mode", "fast"),
        ("query", "patient_simple", "--max-age", "0"),
        ("query", "patient_simple", "--where", "gender", "eq"),
        ("sql",),
        ("nonsense",),
        ("--quiet", "--verbose", "status"),
    ],
)
def test_misuse_ends_with_3_before_anything_is_started(program: Program, arguments: tuple[str, ...]) -> None:
    asked = program(*arguments)
    assert (asked.code, asked.out) == (3, "")
    assert "Error" in asked.err or "Missing" in asked.err


def test_a_recompute_is_not_compared_and_no_server_is_asked_first(program: Program, men: str) -> None:
    asked = program("sql", men, "--param", "gender=male", "--compare", "--mode", "source")
    assert (asked.code, asked.out) == (3, "")
    assert "compare with mode source" in asked.complaint
    assert "ask with mode live" in asked.complaint


def test_without_a_generation_the_answer_is_refused(hapi: DemoHapi, program: Program) -> None:
    asked = program("query", "patient_simple", "--count")
    assert (asked.code, asked.out) == (4, "")
    assert "no generation" in asked.complaint
    assert program("query", "patient_simple", "--count", "--mode", "source").out == "5\n"


def test_a_gap_is_refused_where_the_source_may_not_be_read(
    published: DemoHapi, program: Program, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert "hapi" in program("query", "patient_simple", "--count").err
    monkeypatch.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    asked = program("query", "patient_simple", "--count")
    assert (asked.code, asked.out) == (4, "")
    assert "gap" in asked.complaint


def test_what_cannot_be_read_is_named_beside_the_answer(hapi: DemoHapi, program: Program) -> None:
    write_raw(hapi, "Patient", "gone", None, encoding="ESR")
    program("refresh")
    asked = program("query", "patient_simple", "--count")
    assert (asked.code, asked.out) == (0, "5\n")
    assert "Patient/gone in patient_simple" in asked.err


def test_a_reader_that_goes_away_is_no_error(published: DemoHapi) -> None:
    published.load([named_patient(f"many-{number}", "other") for number in range(3_000)])
    command = (
        f"set -o pipefail; {sys.executable} -m lambda_pipeline.cli query patient_simple --format csv --mode source"
    )
    done = subprocess.run(["bash", "-c", f"{command} | head -n 1"], capture_output=True, text=True, check=False)
    assert done.returncode == 141
    assert done.stdout.startswith("id,")
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_question_does_not_wait_for_the_ui(published: DemoHapi) -> None:
    script = (
        "import sys; from lambda_pipeline.cli.program import run;"
        "assert run(['query', 'patient_simple', '--count']) == 0;"
        "assert not [name for name in sys.modules if name.split('.')[0].startswith('dagster')]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


@pytest.mark.parametrize(("options", "rows"), [((), 3), (("--limit", "4"), 4), (("--format", "csv"), 5)])
def test_a_terminal_gets_the_first_rows_of_a_table(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], rows: int
) -> None:
    """4,475 rows scrolled away what was said about the answer."""
    monkeypatch.setattr(question_options, "SHOWN_ROWS", 3)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    asked = program("query", "patient_simple", "--columns", "id", *options)
    assert sum(name in asked.out for name in ("adam", "bert", "carl", "dora", "eva")) == rows
    assert (f"{rows} of 5 rows shown" in asked.err) == (rows < 5)


def test_what_is_piped_is_whole(published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_options, "SHOWN_ROWS", 3)
    asked = program("query", "patient_simple", "--columns", "id")
    assert len(asked.out.splitlines()) == 2 + 5
    assert "rows shown" not in asked.err


def test_a_redis_that_is_down_is_told_once(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")
    asked = program("query", "patient_simple", "--count")
    assert asked.code == 0
    assert asked.err.count("warning: the speed layer is down") == 1
