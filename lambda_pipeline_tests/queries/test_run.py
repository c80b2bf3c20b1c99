"""Saved queries over real servers: labels, parameters, dependencies."""

from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.errors import BadRequestError, QueryFailedError, SavedQueryError, ServerUnavailableError
from lambda_pipeline.queries import SavedQuery, ask_query, read_sql
from lambda_pipeline.serving import Answer
from lambda_pipeline_tests.support.worlds import World


def query(text: str) -> SavedQuery:
    return read_sql(text, "q.sql").require()


def ask(world: World, text: str, **parameters: Any) -> Answer:
    return ask_query(world.serving, query(text), parameters, compare=True)


def test_a_query_without_a_header_is_asked_as_it_is(published_cohort: World) -> None:
    answer = ask(published_cohort, "SELECT id FROM patients WHERE gender = ANY (:g)", g=["male"])
    assert answer.row_count == 2


def test_labels_stand_for_views(published_cohort: World) -> None:
    text = (
        "-- @relatedDependency: patients as Person\n-- @relatedDependency: conditions\n-- @param: g code\n"
        "SELECT Person.id FROM Person JOIN conditions AS c ON c.patient_id = Person.id\n"
        " WHERE Person.gender = :g ORDER BY 1 DESC; -- the end\n"
    )
    answer = ask(published_cohort, text, g="male")
    assert [row[0] for row in answer.rows] == ["b", "a"]
    assert set(answer.digests) == {"patients", "conditions"}
    assert ask(published_cohort, text, g="female").row_count == 1


def test_typed_values_are_bound_as_their_type(published_cohort: World) -> None:
    text = (
        "-- @param: d decimal\n-- @param: n integer\n-- @param: b boolean\n-- @param: day date\n"
        "SELECT :d + 0.10 AS d, :n + 1 AS n, NOT :b AS b, CAST(:day AS date) AS day"
    )
    (row,) = ask(published_cohort, text, d="1.10", n="2", b="true", day="2026-01-31").rows
    assert row[:3] == (Decimal("1.20"), 3, False)
    with pytest.raises(BadRequestError, match="parameter :day: the value is not a date"):
        ask(published_cohort, text, d="1.10", n="2", b="true", day="2026")
    hostile = "'; DROP TABLE patients; --"
    assert ask(published_cohort, "-- @param: s string\nSELECT :s AS s", s=hostile).rows[0][0] == hostile


LABELLED = "-- @relatedDependency: patients as p\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "-- @relatedDependency: patient as p\nSELECT 1 AS a FROM p",
            "line 1: no view has the URL or name patient (did you mean patients?)",
        ),
        ("-- @relatedDependency: patients|2 as p\nSELECT 1 AS a FROM p", "patients is not known in version 2"),
        ("-- @relatedDependency: patients as Conditions\nSELECT 1 AS a", "the label Conditions is the name of another"),
        ("-- @relatedDependency: patients as order\nSELECT 1 AS a", "the label order is a word of SQL"),
        ("-- @relatedDependency: patients\nSELECT 1 AS a FROM conditions", "no view conditions (views: patients)"),
        (f"{LABELLED}SELECT 1 AS a FROM patients", "there is no view patients"),
        (f"{LABELLED}SELECT 1 AS a FROM p) AS x, (SELECT 1 AS b FROM p", "SQL"),
        (f"{LABELLED}WITH p AS (SELECT 1 AS a) SELECT a FROM p", "is called p like a view"),
        (f"{LABELLED}SELECT nextval('x') FROM p", "line 2, column 8: nextval may not be used"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(published_cohort: World, text: str, said: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        ask(published_cohort, text)
    assert said in str(raised.value)


def test_errors_of_the_server_name_the_line_of_the_file(published_cohort: World) -> None:
    with pytest.raises(QueryFailedError, match="line 2, column 8"):
        ask(published_cohort, "-- @relatedDependency: patients as p\nSELECT nothing FROM p")


def test_a_view_that_only_the_generation_knows_can_be_a_dependency(published_cohort: World) -> None:
    del published_cohort.serving.views["conditions"]
    assert ask(published_cohort, "-- @relatedDependency: conditions as c\nSELECT id FROM c").row_count == 3


def test_parameters_are_checked_before_any_server_is_asked(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr(published_cohort.serving, "database", nowhere)
    text = "-- @param: d date\nSELECT id FROM patients WHERE birth_date > :d"
    with pytest.raises(BadRequestError, match="not a date"):
        ask(published_cohort, text, d="yesterday")
    with pytest.raises(ServerUnavailableError):
        ask(published_cohort, text, d="2020")
    with pytest.raises(SavedQueryError):
        query("-- @param: d dat\nSELECT :d")
