"""Headers of files of SQL: what they declare, and what is wrong with them."""

from pathlib import Path

import pytest

from lambda_pipeline.errors import BadRequestError, ConfigurationError, SavedQueryError
from lambda_pipeline.queries import Dependency, read_queries, read_sql

TREND = """/*
 * @name: PressureTrend
 * @title: Pressure of one patient
 * @description: Measured values, by day
 * @version: 1.0.0
 * @status: active
 * @author: One
 * @author: Two
 * @publisher: A hospital
 */

-- @relatedDependency: https://example.org/ViewDefinition/patients as patient
-- @relatedDependency: heights
-- @param: patient_id string Logical id (example: p1)
--   @param:  from_date   date
SELECT patient.id, '-- @param: no string' AS literal FROM patient
 WHERE patient.id = :patient_id AND patient.birth_date >= :from_date -- @url: https://example.org/Library/trend
"""


def test_block_and_line_comments_are_read() -> None:
    read = read_sql(TREND, "trend.sql")
    query = read.require()
    assert (query.name, query.title, query.version, query.status) == (
        "PressureTrend", "Pressure of one patient", "1.0.0", "active",
    )  # fmt: skip
    assert (query.authors, query.publisher) == (("One", "Two"), "A hospital")
    assert query.url == "https://example.org/Library/trend"
    assert [(each.name, each.type, each.text, each.example) for each in query.parameters] == [
        ("patient_id", "string", "Logical id (example: p1)", "p1"),
        ("from_date", "date", "", None),
    ]
    assert query.dependencies == (
        Dependency("https://example.org/ViewDefinition/patients", "patient", "line 12"),
        Dependency("heights", "heights", "line 13"),
    )
    assert query.sql == TREND
    assert read.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "-- a comment\nSELECT :a",
        "/* mail me @ work */ SELECT :a",
        "-- @see: elsewhere\nSELECT :a",
        "-- @param since the day\nSELECT :a",
    ],
)
def test_a_file_without_a_header_declares_nothing(text: str) -> None:
    query = read_sql(text, "old-file.sql").require()
    assert (query.name, query.declared, query.parameters) == ("old_file", False, ())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("-- @nam: x", "x.sql: line 1: @nam is not an annotation (did you mean @name: ...?)"),
        ("-- @name: x\n-- @Param: a string", "line 2: @Param is not an annotation (did you mean @param: ...?)"),
        ("-- @name: x\n-- @param a string", "line 2: @param has no colon (did you mean @param: ...?)"),
        ("-- @name: 1x", "line 1: '1x' is not a name"),
        ("-- @name: x\n-- @name: y", "line 2: @name stands in line 1 too"),
        ("-- @title:", "line 1: @title has no value"),
        ("-- @status: done", "unknown status 'done' (one of draft, active, retired, unknown)"),
        ("-- @type: view", "unknown type 'view' (sql-query or sql-view)"),
        ("-- @url: here", "the value is not a URL"),
        ("-- @param: a", "@param: a has no type"),
        ("-- @param: a strng", ":a has the unknown type 'strng' (did you mean string?)"),
        ("-- @param: a Quantity", ":a has the unknown type 'Quantity' (one of boolean, canonical"),
        ("-- @param: _a string", "'_a' is not the name of a parameter"),
        ("-- @param: a string\n-- @param: a string", ":a is declared twice"),
        ("-- @param: a string\n-- @param: b string", ":b is declared and not used"),
        ("-- @title: t", ":a is used and not declared (write @param: name type)"),
        ("-- @param: aa string", ":a is used and not declared"),
        ("-- @param: a string\n-- @type: sql-view", "an SQLView declares :a (SQLViews have no parameters)"),
        ("-- @relatedDependency: v as", "not a dependency (write @relatedDependency: URL as label)"),
        ("-- @relatedDependency: v as 1", "'1' is not a label"),
        ("-- @relatedDependency: v\n-- @relatedDependency: w as V", "line 2: the label V is given twice"),
    ],
)
def test_a_wrong_header_is_refused_with_its_place(header: str, said: str) -> None:
    read = read_sql(f"{header}\nSELECT :a", "x.sql")
    assert read.query is None
    with pytest.raises(SavedQueryError) as raised:
        read.require()
    assert said in str(raised.value)


def test_lines_that_are_close_to_nothing_are_warnings() -> None:
    read = read_sql("-- @name: x\n-- @sponsor: y\nSELECT 1", "x.sql")
    assert read.query is not None
    assert list(map(str, read.warnings)) == ["x.sql: line 2: @sponsor is not an annotation"]


def test_queries_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- @name: first\nSELECT 1")
    (tmp_path / "second.sql").write_text("SELECT 2")
    (tmp_path / "third.sql").write_text("-- @name: SECOND\nSELECT 3")
    (tmp_path / "broken.sql").write_text("SELECT 'x")
    (tmp_path / "latin.sql").write_bytes(b"-- \xe9\nSELECT 1")
    folder = read_queries(tmp_path)
    assert [query.name for query in folder.queries] == ["broken", "first"]
    assert folder.find("first").sql.endswith("SELECT 1")
    for name, said in [
        ("firts", "did you mean first? saved queries: SECOND, broken, first, latin, second"),
        ("second", "third.sql has a query called second too"),
        ("latin", "is not UTF-8"),
    ]:
        with pytest.raises(BadRequestError) as raised:
            folder.find(name)
        assert said in str(raised.value)
    with pytest.raises(ConfigurationError, match="LAMBDA_PIPELINE_QUERIES"):
        read_queries(tmp_path / "no")
