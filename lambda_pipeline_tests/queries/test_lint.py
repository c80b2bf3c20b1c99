"""`queries lint`: each kind of mistake is found, with its place, and what is right is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.queries import read_queries, read_sql
from lambda_pipeline.queries.columns import unknown_columns
from lambda_pipeline.queries.folder import refuse_same_names
from lambda_pipeline.queries.lint import lint_queries
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import ViewFolder, compile_view, read_views
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS

VIEWS = ViewFolder(tuple(compile_view(definition) for definition in (PATIENTS, CONDITIONS)))


def found(*texts: str) -> list[str]:
    files = refuse_same_names([read_sql(text, f"q{number}.sql") for number, text in enumerate(texts)])
    return list(map(str, lint_queries(files, VIEWS).problems))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT id FROM patient", "q0.sql: $: SQL: there is no view patient (did you mean patients?)"),
        ("-- @relatedDependency: patient\nSELECT id FROM patient", "line 1: no view has the URL or name patient"),
        ("SELECT gendr FROM patients", "q0.sql: line 1: patients has no column gendr (did you mean gender?)"),
        (
            "-- @relatedDependency: patients as P\nSELECT 1 AS a,\n  p.gendr FROM p",
            "q0.sql: line 3: p has no column gendr (did you mean gender?)",
        ),
        (
            "SELECT id FROM patients AS p WHERE EXISTS (SELECT 1 FROM conditions AS c WHERE c.patient = p.id)",
            "line 1: c has no column patient (did you mean patient_id?)",
        ),
        (
            "WITH x AS (SELECT gendr FROM patients) SELECT * FROM x",
            "line 1: patients has no column gendr (did you mean gender?)",
        ),
        ("-- @param: g code\nSELECT id FROM patients", "q0.sql: $: :g is declared and not used"),
        ("-- @name: a\nSELECT :g AS g", "q0.sql: $: :g is used and not declared"),
        ("-- @param: g cod\nSELECT :g AS g", "line 1: :g has the unknown type 'cod' (did you mean code?)"),
        ("-- @param: g date (example: today)\nSELECT :g AS g", "@param: the example of :g date is not a value"),
        ("-- @titel: x\nSELECT 1 AS a", "line 1: @titel is not an annotation (did you mean @title: ...?)"),
        ("DELETE FROM patients", "line 1, column 1: only a SELECT may run here"),
        ("SELECT pg_sleep(9) AS a", "pg_sleep may not be used"),
        ("SELECT 'a", "the string literal has no end"),
    ],
)
def test_a_mistake_is_found(text: str, said: str) -> None:
    (problem,) = found(text)
    assert said in problem


def test_duplicate_names_are_found_in_both_files() -> None:
    assert found("-- @name: one\nSELECT 1 AS a", "-- @name: One\nSELECT 1 AS a") == [
        "q0.sql: @name: q1.sql has a query called one too",
        "q1.sql: @name: q0.sql has a query called One too",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT p.*, count(p) OVER () AS n FROM patients AS p ORDER BY n",
        "SELECT gender AS g, count(*) AS n FROM patients GROUP BY g ORDER BY n, g",
        "SELECT x.a FROM patients AS p, LATERAL (SELECT p.gender AS a) AS x",
        "SELECT (SELECT max(code) FROM conditions WHERE patient_id = p.id AND gender = 'male') AS c FROM patients AS p",
        "SELECT a FROM unnest(ARRAY[1, 2]) AS t(a), patients",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t",
        "SELECT id FROM patients UNION SELECT id FROM conditions ORDER BY id",
        "SELECT current_date AS d, extract(year FROM CAST(birth_date AS date)) AS y FROM patients",
        "SELECT d.code FROM (SELECT code FROM conditions) AS d JOIN patients USING (id)",
        "SELECT id FROM patients WINDOW w AS (ORDER BY id)",
        "-- @relatedDependency: patients as P\nSELECT P.ID, GENDER FROM P",
        "VALUES (1, 'a')",
    ],
)  # fmt: skip
def test_what_is_right_has_no_finding(text: str) -> None:
    assert found(text) == []


def test_a_dependency_that_is_not_read_is_a_warning() -> None:
    read = read_sql(
        "-- @relatedDependency: patients\n-- @relatedDependency: conditions as C\nSELECT 1 AS a FROM c", "q.sql"
    )
    assert list(map(str, lint_queries([read], VIEWS).warnings)) == [
        "q.sql: line 1: the dependency patients is not read"
    ]


def test_the_shipped_queries_have_no_findings_and_their_columns_are_checked() -> None:
    settings = Settings()
    views = read_views(settings.view_definitions)
    files = read_queries(settings.queries).files
    found = lint_queries(files, views)
    assert (found.problems, found.warnings) == ((), ())
    names: dict[str, Any] = {view.name: [column.name + "_" for column in view.columns] for view in views.views}
    assert all(unknown_columns(file.require().sql, names) for file in files)


def test_a_view_whose_file_does_not_compile_is_known_by_name(tmp_path: Path) -> None:
    (tmp_path / "patients.json").write_text(json.dumps({**PATIENTS, "select": []}))
    read = read_sql("-- @relatedDependency: patients as p\nSELECT p.anything FROM p", "q.sql")
    assert lint_queries([read], read_views(tmp_path)).problems == ()
