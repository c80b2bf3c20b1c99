"""What is computed once per resource or element: for which rows, and never with another outcome."""

from typing import Any

import psycopg
import pytest

from lambda_pipeline.views import compile_view
from lambda_pipeline.views.row_source import RowSource
from lambda_pipeline_tests.support.cases import RunView


def column(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": path, **more}


def patient(**body: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **body}


def test_an_expression_is_a_column_of_its_source_once() -> None:
    source = RowSource("s")
    assert source.column("s.j -> 'a'", "e") == source.column("s.j -> 'a'", "e") == "s.e1"
    assert source.column("s.e1 ->> 'b'", "t") == "s.t2"
    assert source.column("s.j ->> 'c'", "t") == "s.t3"
    outer, inner = source.around("bodies s").split("FROM", 1)
    assert "s.e1 ->> 'b' AS t2" in outer
    assert "s.j -> 'a' AS e1" in inner
    assert "s.j ->> 'c' AS t3" in inner


def test_what_comes_after_a_condition_is_computed_for_the_rows_that_meet_it() -> None:
    source = RowSource("s")
    source.column("before(s.j)", "t")
    source.keep()
    source.column("after(s.j)", "t")
    outer, inner = source.around("bodies s", "s.t1 > 0").split("FROM", 1)
    assert "after(s.j)" in outer
    assert "before(s.j)" in inner
    assert inner.index("before(s.j)") < inner.index("WHERE s.t1 > 0")


def test_a_source_with_nothing_to_compute_stays_as_it_is() -> None:
    source = RowSource("s")
    source.keep()
    assert source.around("bodies s") == "bodies s"


def test_a_text_that_two_columns_and_a_condition_read_is_fetched_once() -> None:
    columns = [column("key", "managingOrganization.getReferenceKey()"),
               column("organization", "managingOrganization.getReferenceKey(Organization)")]  # fmt: skip
    where = [{"path": "managingOrganization.getReferenceKey() != 'x'"}]
    statement = compile_view({"resource": "Patient", "select": [{"column": columns}], "where": where}).statement
    assert statement.count("->> 'reference'") == 1


def test_a_resource_that_where_leaves_out_cannot_fail(run_view: RunView) -> None:
    view = {
        "resource": "Patient",
        "select": [{"forEachOrNull": "maritalStatus", "column": [column("text", "text")]},
                   {"column": [column("gender", "gender")]}],
        "where": [{"path": "language = 'en'"}],
    }  # fmt: skip
    broken = {"maritalStatus": [{}, {}], "gender": ["male"]}
    assert run_view(view, [patient(language="de", **broken), patient(language="en", gender="male")]) == [
        {"text": None, "gender": "male"}
    ]
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        run_view(view, [patient(language="en", **broken)])


@pytest.mark.parametrize("text", ["[", "{", "[]", "{}", '{"a": 1}', "", "\u007b\u007b", "null"])
def test_a_text_may_look_like_json(run_view: RunView, text: str) -> None:
    view = {"resource": "Patient", "select": [{"column": [column("a", "maritalStatus.text")]}]}
    assert run_view(view, [patient(maritalStatus={"text": text})]) == [{"a": text}]


def test_the_position_in_an_iteration_is_known_to_what_is_computed_once(run_view: RunView) -> None:
    nth = {"forEachOrNull": "%resource.contact[%rowIndex].name", "column": [column("name", "family")]}
    view = {
        "resource": "Patient",
        "select": [{"forEach": "name", "column": [column("own", "family")], "select": [nth]}],
    }
    body = patient(
        name=[{"family": "A"}, {"family": "B"}], contact=[{"name": {"family": "x"}}, {"name": {"family": "y"}}]
    )
    assert run_view(view, [body]) == [{"own": "A", "name": "x"}, {"own": "B", "name": "y"}]
