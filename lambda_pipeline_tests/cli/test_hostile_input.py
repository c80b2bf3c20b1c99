"""A thousand hostile questions, configs and files: each is answered or refused with a code, and nothing is a bug."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.api import open_deployment
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadRequestError, LambdaPipelineError
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.serving import Filter, Operator, parse_filter
from lambda_pipeline.serving.filters import condition
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views.view import Column
from lambda_pipeline_tests.support.definitions import PATIENTS
from lambda_pipeline_tests.support.programs import Program

SEED = 20_260_102
TEXTS = [
    "", " ", "'", '"', "\\", "%", "%s", "%(a)s", "$1", ":a", ";", "--", "/*", "\x00", "\ud800", "\u202e", "é", "🜁",
    "\n", "\t", "NULL", "null", "NaN", "Infinity", "-Infinity", "1e400", "1" * 400, "-" * 50, "true", "[]", "[", '["a"',
    "{}", "[null]", "0001-01-01", "9999-12-31", "10000-01-01", "0000", "1980", "1980-02-30", "2026-01-31T25:00:00Z",
    "24:00:00", "infinity", "now", "epoch", "../../etc/passwd", "a" * 100_000, "' OR 1=1 --", "0x10", "1_000", "١٢٣",
    "1,2", "a,b,,c", "pg_sleep(9)", "patient_simple", "gender", "male", "(1, 2)", "<a>", "\\x00", "E'\\'", "\u2028",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, None, True, False, 0, -1, 2**31, 2**63, 2**200, 0.1, float("nan"), float("inf"), Decimal("NaN"),
    Decimal("1E+5000"), Decimal("sNaN"), b"\x00", [], [[]], [None], ["a", 1], ["\ud800"], {}, {"a": 1}, date.min,
    date.max, time.max, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), object(), range(3), ("a",),
    {1}, 1j, ["a"] * 1_000,
]  # fmt: skip
TYPES = [
    "text", "integer", "smallint", "bigint", "numeric(10,2)", "double precision", "boolean", "date", "timestamp",
    "timestamptz", "time", "bytea", "jsonb", "text[]", "uuid", "interval",
]  # fmt: skip
FHIR_TYPES = ["", "date", "dateTime", "instant", "time", "code", "id", "string", "decimal", "positiveInt"]
PIECES = [
    "SELECT", "*", "FROM", "patient_simple", "WHERE", "gender", "=", ":a", "(", ")", ",", "count(*)", "GROUP BY", "1",
    "'x'", "::date", "::json", "::int", "LIMIT", "-1", "WITH", "AS", "x", "UNION", "ORDER BY", "CASE", "WHEN", "THEN",
    "END", "/", "0", "interval '1 day'", "ARRAY[", "]", "||", "json_agg(patient_simple)", "NULL", "now()",
    "'infinity'::timestamptz", "$$", "E'", "'10000-01-01'::date", "'24:00'::time", "repeat('x', 9)", ".", "JOIN", "ON",
    "true", "VALUES", ";", "--", "row(1, 2)", "'{1,2}'::int[]", "'NaN'::numeric", "int4range(1, 2)",
    "'1 year'::interval", '"a b"', "AS gender", "'-infinity'::date",
]  # fmt: skip


def statement(choose: random.Random) -> str:
    if choose.random() < 0.7:
        return "SELECT " + " ".join(choose.choices(PIECES, k=choose.choice([1, 1, 3]))) + " AS x FROM patient_simple"
    return " ".join(choose.choices(PIECES + TEXTS[:20], k=choose.randint(1, 12)))


def test_no_filter_ends_in_anything_but_a_condition_or_a_refusal() -> None:
    choose = random.Random(SEED)
    for _ in range(3_000):
        column = Column("c", choose.choice(TYPES), fhir_type=choose.choice(FHIR_TYPES))
        value = choose.choice(VALUES) if choose.random() < 0.7 else choose.choices(VALUES, k=2)
        with suppress(BadRequestError):
            condition([Filter("c", choose.choice(list(Operator)), value)], [column])
        with suppress(BadRequestError):
            parsed = parse_filter(choose.choice(["c", "d"]), choose.choice([*Operator, "like"]), choose.choice(TEXTS))
            condition([parsed], [column])


def test_no_question_of_the_api_ends_in_anything_but_an_answer_or_a_code(published: DemoHapi) -> None:
    choose = random.Random(SEED)
    load_settings.cache_clear()
    with open_deployment() as deployment:
        serving = deployment.serving

        def options() -> dict[str, Any]:
            given = {
                "mode": choose.choice(["live", "batch", "fast", None, 3]),
                "limit": choose.choice([0, 1, None, -1, 2**70, "1", 1.5]),
                "freshness_target_s": choose.choice([None, 0, -1, float("nan"), float("inf"), "x"]),
                "compare": choose.choice([True, False, None]),
            }
            return {name: value for name, value in given.items() if choose.random() < 0.1}

        answered = 0
        for _ in range(300):
            with suppress(LambdaPipelineError):
                text = statement(choose)
                values = {"a": choose.choice(VALUES)} if ":a" in text or choose.random() < 0.1 else None
                serving.select(text, values, **options())
                answered += 1
            with suppress(LambdaPipelineError):
                view = choose.choice(["patient_simple"] * 9 + TEXTS)
                columns = choose.choice([(), ("gender",), ("id", "id"), ("nope",), ("",)])
                where = [
                    Filter(
                        choose.choice(["gender", "birth_date"]), choose.choice(list(Operator)), choose.choice(VALUES)
                    )
                ]
                serving.query(view, where=where[: choose.randint(0, 1)], columns=columns, **options())
                answered += 1
        assert answered > 30


def test_no_command_ends_in_anything_but_an_answer_or_a_line(
    published: DemoHapi, program: Program, tmp_path: Path
) -> None:
    choose = random.Random(SEED)
    words = ["\udcff", *(each for each in TEXTS if "\x00" not in each and each != "\ud800" and len(each) < 1_000)]
    for number in range(60):
        file = tmp_path / f"{number}.sql"
        file.write_bytes(choose.choice([statement(choose).encode(errors="surrogatepass"), b"\xff", b""]))
        for arguments in (
            ["sql", choose.choice([str(file), str(tmp_path), *words]), "--param", f"a={choose.choice(words)}"],
            ["sql", str(file), choose.choice(["--compare", "--count", "--limit=3", "--mode=source", "--max-age=1"])],
            ["query", choose.choice(["patient_simple", *words]), "--where", "gender", "eq", choose.choice(words)],
            [
                "query",
                "patient_simple",
                "--where",
                choose.choice(["id", "birth_date", *words]),
                *choose.choices(words, k=2),
            ],
            [
                "query",
                "patient_simple",
                "--columns",
                choose.choice(words),
                "--format",
                choose.choice(["csv", "jsonl", "x"]),
            ],
            choose.choices([*words, "views", "status", "query", "--help", "-v"], k=choose.randint(1, 4)),
        ):
            done = program(*arguments)
            assert "this is a bug" not in done.err, arguments
            assert done.code in {0, 1, 2, 3, 4}, arguments


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("views")
    (folder / "patients.json").write_text(json.dumps(PATIENTS))
    return build_definitions(load_settings().model_copy(update={"view_definitions": folder}))


def test_no_config_of_a_job_is_refused_without_a_reason(definitions: dg.Definitions) -> None:
    choose = random.Random(SEED)
    usual: dict[str, Callable[[], Any]] = {
        "view": lambda: "patients",
        "sql": lambda: statement(choose).replace("patient_simple", "patients"),
        "parameters": lambda: {"a": choose.choice(plain)},
        "columns": lambda: choose.choices(["id", "gender", "nope"], k=2),
        "where": lambda: [
            {"column": "birth_date", "operator": choose.choice(list(Operator)).value, "value": choose.choice(plain)}
        ],
    }
    plain = [value for value in VALUES if isinstance(value, str | int | float | list | dict | None)]
    fields = {
        "view_query": ["view", "columns", "where", "limit", "name", "preview", "mode", "format", "freshness_target_s"],
        "sql_query": ["sql", "parameters", "limit", "name", "preview", "mode", "format", "compare"],
        "parity_check": ["mode", "everything", "sample", "seed"],
    }
    for _ in range(300):
        for job, names in fields.items():
            config = {
                name: usual[name]() if name in usual and choose.random() < 0.8 else choose.choice(plain)
                for name in names
                if name in {"view", "sql"} or choose.random() < 0.3
            }
            with suppress(dg.DagsterInvalidConfigError):
                dg.validate_run_config(definitions.resolve_job_def(job), config)


FILES = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"\x1f\x8b\x00", b'{"resourceType": 1}', b'{"resourceType": "Patient"}',
    b'{"resourceType": "Patient", "id": "a b"}', b'{"resourceType": "Patient", "id": "x", "gender": {"a": []}}',
    b'{"resourceType": "Patient", "id": "y", "birthDate": "Zq"}', b"[" * 5_000, b'{"resourceType": "Bundle"}',
    b'{"resourceType": "Bundle", "type": "transaction", "entry": [1]}',
    b'{"resourceType": "Patient", "id": "n\\u0000"}',
    b'{"resourceType": "Patient", "id": "s", "name": [{"family": "\\ud800"}]}', b'{"a": 1, "a": 2}', b"1e999", b"NaN",
    b'{"resourceType": "Patient", "id": "d", "name": [' + b'{"family": "x"},' * 999 + b"{}]}", b'"' + b"x" * 99_999,
    b'{"resourceType": "Patient", "id": "e", "meta": {"lastUpdated": "Zq"}}', b'{"resourceType": "Pati\xc3"}',
]  # fmt: skip


def test_no_file_of_resources_ends_in_anything_but_rows_or_named_lines(
    hapi: DemoHapi, program: Program, tmp_path: Path
) -> None:
    view = tmp_path / "patients.json"
    view.write_text(json.dumps(PATIENTS))
    choose = random.Random(SEED)
    for number in range(40):
        data = tmp_path / f"{number}{choose.choice(['.ndjson', '.json', '.ndjson.gz'])}"
        content = b"\n".join(choose.choices(FILES, k=choose.randint(1, 4)))
        data.write_bytes(content)
        done = program("views", "run", str(view), "--ndjson", str(data))
        assert "this is a bug" not in done.err, content[:300]
        with suppress(LambdaPipelineError):
            load_files(hapi, [data])
