"""ViewDefinition documents: valid ones in which something is wrong, and texts that are no documents."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.cli.documents import run as run_over_file
from lambda_pipeline.database import Database
from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline.views import View, compile_view, find_warnings, lint
from lambda_pipeline.views.folder import read_views
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import MEASURED, Hospital
from lambda_pipeline_tests.support.definitions import DEFINITIONS
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.programs import Program

RICH: dict[str, Any] = {
    "resourceType": "ViewDefinition", "name": "rich", "status": "draft", "resource": "Patient",
    "fhirVersion": ["4.0.1"],
    "title": "T", "description": "D", "constant": [
        {"name": "use", "valueCode": "official"}, {"name": "n", "valueInteger": 1}, {"name": "d", "valueDecimal": 1.5},
    ],
    "where": [{"path": "active.exists() or gender = 'male'", "description": "living"}],
    "select": [
        {"column": [{"name": "id", "path": "id", "type": "id", "description": "x"}]},
        {"forEach": "name.where(use = %use)", "column": [{"name": "family", "path": "family", "tag": [
            {"name": "lambda_pipeline/index", "value": "true"}]}],
         "select": [{"forEachOrNull": "given", "column": [{"name": "given", "path": "$this"},
                                                          {"name": "row", "path": "%rowIndex"}]}]},
        {"unionAll": [
            {"forEach": "telecom", "column": [{"name": "contact", "path": "value"}]},
            {"column": [{"name": "contact", "path": "address.city.first()"}]},
        ]},
        {"repeat": ["extension"], "column": [{"name": "url", "path": "url"}]},
    ],
}  # fmt: skip
VALID = [*DEFINITIONS, MEASURED, RICH]
RESOURCES = [
    patient("a", active=True, birthDate="1970", name=[{"use": "official", "family": "X", "given": ["Y", "Z"]}]),
    patient("b", telecom=[{"value": "1"}], extension=[{"url": "u", "extension": [{"url": "v", "valueString": "w"}]}]),
    condition("c", "a"),
    height("h", "a", 1.50),
]
EXPRESSIONS = [
    "name", "name.given", "name.family.first()", "%use", "%n + 1", "gender = 'male'", "birthDate", "$this", "(((id)))",
    "name.where(use='a').given.first()", "id + 'x'", "-1", "1 div 0", "'\\u0041'", "'\\''", "@2026-01-01", "@T08:00",
    "{}",
    "true and {}", "iif(true, 1, 'a')", "name.exists()", "getReferenceKey()", "getResourceKey()", "id.substring(-1)",
    "extension('x').value.ofType(string)", "multipleBirth.ofType(integer)", "contact.name.family | name.family",
    "name[0].given[99999999999]", "name[-1]", "id.matches('(')", "id.replace('', '')", "meta.lastUpdated", "%rowIndex",
    "`id`", "id // comment", "id /* x */", "1 'mg'", "id.lowBoundary()", "birthDate.highBoundary()",
    "name.select(given)",
    "contained.ofType(Patient)", "deceased", "deceased.ofType(boolean).not()", "name.count() > 1", "id in ('a' | 'b')",
    "1e5", "00", "1.", "id.", ".id", "id..id", "%", "%`use`", "@", "'", "name.all(use = 'a')", "name.given.join(',')",
    "9" * 40, "1." + "0" * 400, "name.given.skip(2147483648)", "birthDate > @2026", "text.div", "id.is(string)",
    "not()", "(" * 60 + "id" + ")" * 60, "-" * 200 + "1", " | ".join(["id"] * 300), ".".join(["id"] * 50), "a" * 10_000,
]  # fmt: skip


def document(choose: random.Random) -> Any:
    made: Any = hostile.mutated(choose, choose.choice(VALID), choose.choice([0, 0, 1, 1, 2]))
    if choose.random() < 0.5 and isinstance(made, dict):
        made = copy.deepcopy(made)
        for column in _columns(made):
            if choose.random() < 0.3:
                column["path"] = choose.choice(EXPRESSIONS)
            if choose.random() < 0.1:
                column["type"] = choose.choice(
                    ["string", "integer", "decimal", "date", "instant", "Quantity", "System.Time"]
                )
            if choose.random() < 0.1:
                column["tag"] = [{"name": "ansi/type", "value": choose.choice(
                    ["DATE", "TIME", "CHAR(3)", "DECIMAL(99999,2)", "DECIMAL(5,9)", "VARCHAR(0)", "TIMESTAMP(9)",
                    "BIGINT"])}]  # fmt: skip
    return made


def _columns(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        here = [each for each in node.get("column", ()) if isinstance(each, dict)] if isinstance(
            node.get("column"), list) else []  # fmt: skip
        return here + [column for item in node.values() for column in _columns(item)]
    return [column for item in node for column in _columns(item)] if isinstance(node, list) else []


def as_text(choose: random.Random, made: Any) -> str:
    text = json.dumps(made, ensure_ascii=choose.random() < 0.5)
    if choose.random() < 0.05:
        return choose.choice(["[", '{"select": [', '{"resource": ']) * choose.choice([500, 100_000])
    if choose.random() < 0.2:
        at = choose.randrange(len(text) + 1)
        text = text[:at] + hostile.text(choose) + text[at + choose.randrange(3) :]
    return text


def compiled(made: Any) -> View | None:
    try:
        return compile_view(made)
    except ViewDefinitionError:
        return None


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.ndjson"
    file.write_text("\n".join(map(json.dumps, RESOURCES)))
    return file


@pytest.mark.parametrize("part", hostile.parts(240, 40))
def test_a_definition_has_problems_or_runs(hospital: Hospital, data: Path, part: int) -> None:
    """What compiles is SQL that PostgreSQL takes: nothing but a value of a resource can make it fail."""
    choose = hostile.chooser("definitions", part)
    database = Database(hospital.urls.hapi_db)
    with database.connect() as connection:
        for _ in range(40):
            made = document(choose)
            view = compiled(made)
            text = as_text(choose, made)
            lint(text.encode(errors="replace").decode(), "a.json")
            find_warnings(text, "a.json")
            if view is None:
                continue
            rows, bad = run_over_file(connection, view, data)
            assert all(len(row) == len(view.columns) for row in rows)
            assert len(bad) <= len(RESOURCES)
            for column in view.columns:
                connection.execute(f"SELECT NULL::{column.type}".encode())
    database.close()


@pytest.mark.parametrize("part", hostile.parts(30, 15))
def test_a_file_of_a_definition_is_checked_and_shown(door: Program, tmp_path: Path, data: Path, part: int) -> None:
    choose = hostile.chooser("files of definitions", part)
    for number in range(15):
        made = document(choose)
        name = choose.choice([f"{number}.json", f"{number} é'.json", f"{number}\n.json", f"{number}"])
        file = tmp_path / name
        content = choose.choice([b"", b"\xef\xbb\xbf", b"\xff\xfe"]) if choose.random() < 0.2 else b""
        file.write_bytes(content + as_text(choose, made).encode(errors="surrogatepass"))
        linted = door("views", "lint", str(file))
        assert linted.code in {0, 1}
        shown = door("views", "sql", str(file))
        assert (shown.code == 0) == (linted.code == 0), (linted, shown)
        if choose.random() < 0.3:
            ran = door(
                "views", "run", str(file), "--ndjson", str(data), "--format", choose.choice(["csv", "jsonl", "table"])
            )
            assert ran.code in ({0, 1} if linted.code == 0 else {3}), ran


def test_a_folder_of_definitions_names_every_broken_file(tmp_path: Path) -> None:
    choose = hostile.chooser("folder", 0)
    for number in range(60):
        (tmp_path / f"{number}.json").write_bytes(as_text(choose, document(choose)).encode(errors="surrogatepass"))
    found = read_views(tmp_path)
    assert len(found.views) + len(found.broken) >= 1
    names = [view.name for view in found.views]
    assert len(names) == len(set(names))


def test_a_view_that_compiles_can_be_a_table(hospital: Hospital) -> None:
    """Its names and types are those of a table, and its columns can be taken one by one."""
    choose = hostile.chooser("tables", 0)
    with psycopg.connect(hospital.urls.hapi_db) as connection:
        made = [view for _ in range(150) if (view := compiled(document(choose)))]
        assert len(made) > 20
        for number, view in enumerate(made):
            columns = ", ".join(f'"{column.name}" {column.type}' for column in view.columns)
            connection.execute(f"CREATE TEMPORARY TABLE t{number} ({columns})".encode())
