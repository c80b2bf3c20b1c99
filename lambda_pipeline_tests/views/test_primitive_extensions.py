"""Extensions of primitive elements inside iterations and criteria, where the element is not named."""

from collections.abc import Callable
from typing import Any

import pytest

from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline_tests.support.cases import RunView

Evaluate = Callable[..., list[Any]]


def extension(value: str) -> dict[str, Any]:
    return {"extension": [{"url": "x", "valueString": value}, {"url": "other", "valueString": "no"}]}


PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "birthDate": "1970",
    "_birthDate": {"id": "b", **extension("born")},
    "name": [
        {"given": ["A", None, "C"], "_given": [None, extension("second"), extension("third")],
         "family": "F", "_family": extension("first family")},
        {"given": ["D"], "family": "G"},
        {"_family": extension("no family")},
    ],
}  # fmt: skip
VALUE = "extension('x').value.ofType(string).first()"


def view(for_each: str, *columns: tuple[str, str], iterator: str = "forEach") -> dict[str, Any]:
    listed = [{"name": name, "path": path} for name, path in columns]
    return {"resource": "Patient", "select": [{iterator: for_each, "column": listed}]}


@pytest.mark.parametrize("iterator", ["forEach", "forEachOrNull"])
def test_each_element_of_a_list_has_its_own(run_view: RunView, iterator: str) -> None:
    definition = view("name.given", ("text", "$this"), ("x", VALUE), ("n", "%rowIndex"), iterator=iterator)
    assert run_view(definition, [PATIENT]) == [
        {"text": "A", "x": None, "n": 0}, {"text": None, "x": "second", "n": 1}, {"text": "C", "x": "third", "n": 2},
        {"text": "D", "x": None, "n": 3},
    ]  # fmt: skip


def test_the_rows_are_the_same_with_and_without_the_extension(run_view: RunView) -> None:
    for path in ("name.given", "name.family", "birthDate", "name.given.where($this != 'A')"):
        with_extension = run_view(
            view(path, ("text", "$this"), ("x", f"{VALUE}.exists()")), [PATIENT, {**PATIENT, "name": []}]
        )
        without = run_view(view(path, ("text", "$this")), [PATIENT, {**PATIENT, "name": []}])
        assert [row["text"] for row in with_extension] == [row["text"] for row in without]


def test_an_element_that_is_not_a_list_has_its_own(run_view: RunView) -> None:
    assert run_view(view("name.family", ("text", "$this"), ("x", f"$this.{VALUE}")), [PATIENT]) == [
        {"text": "F", "x": "first family"}, {"text": "G", "x": None},
    ]  # fmt: skip
    assert run_view(view("birthDate", ("text", "$this"), ("x", VALUE), ("id", "$this.id")), [PATIENT]) == [
        {"text": "1970", "x": "born", "id": "b"}
    ]


def test_an_empty_iteration_has_none(run_view: RunView) -> None:
    definition = view("name.given", ("x", VALUE), ("e", "extension('x').exists()"), iterator="forEachOrNull")
    assert run_view(definition, [{"resourceType": "Patient", "id": "q"}]) == [{"x": None, "e": None}]


def test_an_iteration_may_be_filtered_by_extensions_and_read_them(run_view: RunView) -> None:
    definition = view("name.given.where(extension('x').exists())", ("text", "$this"), ("x", VALUE), ("n", "%rowIndex"))
    assert run_view(definition, [PATIENT]) == [
        {"text": None, "x": "second", "n": 0}, {"text": "C", "x": "third", "n": 1},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("name.given.where(extension('x').exists())", [None, "C"]),
        ("name.given.where(extension('x').value.ofType(string) = 'third')", ["C"]),
        ("name.given.where(extension('x').empty())", ["A", "D"]),
        ("name.given.where($this = 'C').where(extension('x').exists())", ["C"]),
        ("name.family.where(extension('x').exists())", ["F"]),
        ("name.where(given.exists(extension('x').exists())).family", ["F"]),
        ("birthDate.where(extension('x').exists())", ["1970"]),
        ("birthDate.where(extension('y').exists())", []),
        ("name.given.all(extension('x').exists())", [False]),
        ("name.first().given.skip(1).count()", [2]),
    ],
)
def test_criteria(evaluate: Evaluate, path: str, expected: list[Any]) -> None:
    assert evaluate(path, PATIENT, collection=True) == [expected]


@pytest.mark.parametrize("path", ["name.given.first().extension('x')", "name.given.where(true).extension('x')",
                                  "name.given.first().where(extension('x').exists())"])  # fmt: skip
def test_what_leads_to_no_extension_is_refused(evaluate: Evaluate, path: str) -> None:
    with pytest.raises(ViewDefinitionError, match="can be read only where the path names the element"):
        evaluate(path, collection=True)
