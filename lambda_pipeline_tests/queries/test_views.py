"""SQLViews: saved queries that others read, inlined; circles, depth and names."""

import json
from pathlib import Path

import pytest

from lambda_pipeline.errors import BadRequestError, QueryFailedError, SavedQueryError
from lambda_pipeline.queries import SavedQuery, ask_query, read_sql
from lambda_pipeline.queries.dependencies import MAX_DEPTH, statement_of
from lambda_pipeline.queries.library import build_library
from lambda_pipeline.queries.library_reader import read_library
from lambda_pipeline.queries.lint import lint_queries
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import ViewFolder, compile_view
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.worlds import World

DEFINITIONS = {"patients": {"url": "https://example.org/ViewDefinition/patients"}, "conditions": {}}
DIABETICS = """\
-- @name: Diabetics
-- @type: sql-view
-- @url: https://example.org/Library/Diabetics
-- @relatedDependency: conditions as c
SELECT DISTINCT c.patient_id, '--;' AS mark -- one row for each
  FROM c WHERE c.code = '44054006' AND c.id <> '';
"""
MEN = """\
-- @name: men
-- @type: sql-view
-- @relatedDependency: https://example.org/Library/Diabetics as d
-- @relatedDependency: patients as p
SELECT p.id FROM p JOIN d ON d.patient_id = p.id WHERE p.gender = 'male'
"""
ASKED = """\
-- @param: id id
-- @relatedDependency: men as p
-- @relatedDependency: diabetics
SELECT p.id, count(*) OVER () AS n FROM p JOIN diabetics AS d ON d.patient_id = p.id WHERE p.id = :id
"""


def query(text: str, file: str = "q.sql") -> SavedQuery:
    return read_sql(text, file).require()


@pytest.fixture
def world(published_cohort: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, text in {"diabetics": DIABETICS.replace("Diabetics\n--", "diabetics\n--", 1), "men": MEN}.items():
        (tmp_path / f"{name}.sql").write_text(text)
    monkeypatch.setattr(published_cohort.serving, "settings", Settings(queries=tmp_path))
    return published_cohort


def test_queries_read_views_that_read_views(world: World) -> None:
    answer = ask_query(world.serving, query(ASKED), {"id": "a"}, compare=True)
    assert [tuple(row) for row in answer.rows] == [("a", 1)]
    assert ask_query(world.serving, query(ASKED), {"id": "c"}).row_count == 0
    assert set(answer.digests) == {"patients", "conditions"}


def test_errors_name_the_line_of_the_query_that_is_asked(world: World) -> None:
    with pytest.raises(QueryFailedError, match="line 3, column 8"):
        ask_query(world.serving, query("-- @relatedDependency: men\n\nSELECT nothing FROM men"))


def chain(length: int) -> list[SavedQuery]:
    first = query("-- @name: v0\n-- @type: sql-view\n-- @relatedDependency: patients\nSELECT id FROM patients")
    header = "-- @name: v{}\n-- @type: sql-view\n-- @relatedDependency: v{} as t\nSELECT id FROM t"
    return [first, *(query(header.format(number, number - 1)) for number in range(1, length))]


def test_depth_is_limited() -> None:
    views = chain(MAX_DEPTH + 1)
    assert guard(
        statement_of(query("-- @relatedDependency: v7 as t\nSELECT id FROM t"), DEFINITIONS, views), DEFINITIONS
    )
    with pytest.raises(SavedQueryError, match="more than 8 SQLViews inside one another"):
        statement_of(query("-- @relatedDependency: v8 as t\nSELECT id FROM t"), DEFINITIONS, views)


def view(name: str, body: str, *needs: str) -> SavedQuery:
    lines = [f"-- @name: {name}", "-- @type: sql-view", *(f"-- @relatedDependency: {need}" for need in needs), body]
    return query("\n".join(lines), f"{name}.sql")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([view("v", "SELECT 1 AS a FROM w", "w"), view("w", "SELECT 1 AS a FROM v", "v")],
         "w.sql: line 3: queries read one another in a circle: q -> v -> w -> v"),
        ([view("v", "SELECT 1 AS a FROM v", "v")], "circle: q -> v -> v"),
        ([query("-- @name: v\nSELECT 1 AS a")], "v is no SQLView (mark it with @type: sql-view)"),
        ([view("vv", "SELECT 1 AS a")], "no view has the URL or name v"),
        ([view("v", "SELECT pg_sleep(9) AS a")], "v.sql: $: SQL, line 3, column 8: pg_sleep may not be used"),
        ([view("v", "SELECT id FROM q")], "v.sql: $: SQL: there is no view q"),
        ([view("v", "SELECT 1 AS a) SELECT 2 AS a FROM (SELECT 3 AS a")], "v.sql: $: SQL"),
        ([view("v", "SELECT id FROM other"), view("other", "SELECT 1 AS id")], "there is no view other"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(others: list[SavedQuery], said: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        statement_of(query("-- @relatedDependency: v\nSELECT 1 AS a FROM v"), DEFINITIONS, others)
    assert said in str(raised.value)


def test_a_view_is_built_as_its_profile_wants_and_read_back() -> None:
    diabetics = query(DIABETICS.replace(": conditions", ": https://example.org/ViewDefinition/conditions"))
    library = build_library(diabetics, DEFINITIONS)
    assert library["type"]["coding"][0]["code"] == "sql-view"
    assert library["meta"]["profile"] == ["http://hl7.org/fhir/uv/sql-on-fhir/StructureDefinition/SQLView"]
    assert "parameter" not in library
    assert library["url"] == "https://example.org/Library/Diabetics"
    reread = read_library(json.dumps(library), "d.json").require()
    assert (reread.is_view, reread.url) == (True, diabetics.url)
    men = query(MEN)
    with pytest.raises(SavedQueryError, match="an SQLView needs a URL"):
        build_library(men, DEFINITIONS, [diabetics])
    by_name = query("-- @relatedDependency: Diabetics\nSELECT patient_id FROM Diabetics")
    assert build_library(by_name, DEFINITIONS, [diabetics])["relatedArtifact"][0]["resource"] == diabetics.url


def test_lint_follows_views() -> None:
    folder = ViewFolder(tuple(compile_view(definition) for definition in (PATIENTS, CONDITIONS)))
    files = [read_sql(DIABETICS, "d.sql"), read_sql(MEN, "m.sql")]
    assert lint_queries(files, folder).problems == ()
    same = read_sql("-- @name: Patients\n-- @type: sql-view\nSELECT 1 AS a", "p.sql")
    (problem,) = lint_queries([same], folder).problems
    assert str(problem) == "p.sql: @name: Patients is the name of a view too"
