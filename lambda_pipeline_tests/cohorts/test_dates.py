"""Dates that are not whole: the examples of docs/cohorts.md, asked."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from lambda_pipeline.cohorts import ask
from lambda_pipeline.cohorts.days import days_of
from lambda_pipeline.errors import AmbiguousPersonError
from lambda_pipeline_tests.cohorts.people import PEOPLE, VIEWS
from lambda_pipeline_tests.support.servers import PROJECT
from lambda_pipeline_tests.support.worlds import World

Json = dict[str, Any]
PERSON = {"view": "people", "id": "pid", "birth_date": "born", "sex": "sex"}


def result(number: str, code: str, at: str | None) -> Json:
    resource: Json = {
        "resourceType": "Observation",
        "id": f"{number}-{code}",
        "status": "final",
        "subject": {"reference": f"Patient/{number}"},
        "code": {"coding": [{"code": code}]},
    }
    return resource if at is None else {**resource, "effectiveDateTime": at}


def coded(code: str, *comparisons: Json, **more: Any) -> Json:
    where = [{"column": "code", "operator": "eq", "value": code}, *comparisons]
    return {"view": "results", "date": "at", "where": where, **more}


def at(operator: str, value: Any) -> Json:
    return coded("row", {"column": "at", "operator": operator, "value": value})


WINDOW_0, WINDOW_1_60, ANY_WINDOW = {"after": 0}, {"after": 1, "before": 60}, {"before": 100_000}
EXAMPLES: list[tuple[str, str, bool, Json]] = [
    ("`1980-02-29`", "`ge 1980`", True, at("ge", "1980")),
    ("`1980`", "`ge 1980-02`", False, at("ge", "1980-02")),
    ("`1980`", "`lt 1981`, `eq 1980`", True, at("lt", "1981")),
    ("`1980`", "`lt 1981`, `eq 1980`", True, at("eq", "1980")),
    ("`1980-05`", "`between 1980-01 and 1980-05-30`", False, at("between", ["1980-01", "1980-05-30"])),
    ("`1980-02`", "`ne 1980-03`", True, at("ne", "1980-03")),
    ("birth `1980`, index `1998-03-01`", "age `at_least: 18`", False, {"age": {"at_least": 18}}),
    ("birth `1980`, index `1999`", "age `at_least: 18`", True, {"age": {"at_least": 18}}),
    ("`2020-03`, index `2020-03-10`", "window `{after: 0}`", False, coded("row", window=WINDOW_0)),
    ("`2020-04`, index `2020-03`", "window `{after: 1, before: 60}`", True, coded("row", window=WINDOW_1_60)),
    ("no date", "any window", False, coded("row", window=ANY_WINDOW)),
]
"""Row and question as the page has them, whether it matches, and the criterion."""


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    made = make_world()
    made.use(VIEWS)
    for number, (row, *_) in enumerate(EXAMPLES):
        written = dict(re.findall(r"(birth|index) `([\d-]+)`", row))
        plain = re.match(r"`([\d-]+)`", row)
        born = {"birthDate": written["birth"]} if "birth" in written else {}
        made.demo.update({"resourceType": "Patient", "id": f"e{number}", **born})
        made.demo.update(result(f"e{number}", "index", written.get("index", "2000-01-01")))
        made.demo.update(result(f"e{number}", "row", plain[1] if plain else None))
    made.refresh()
    made.poll()
    return made


def test_the_page_shows_what_is_asked() -> None:
    page = (PROJECT / "docs" / "cohorts.md").read_text().split("## Dates that are not whole")[1].split("\n## ")[0]
    rows = [
        tuple(cell.strip() for cell in line.strip("| ").split(" | ")[:3])
        for line in page.splitlines()
        if line[:1] == "|"
    ]
    shown = {(row, asked, "yes" if matches else "no") for row, asked, matches, _ in EXAMPLES}
    assert set(rows[2:]) == shown


def test_a_row_matches_if_the_comparison_holds_on_every_day(world: World) -> None:
    for number, (row, asked, matches, criterion) in enumerate(EXAMPLES):
        answer = ask(
            world.serving,
            {
                "name": "example",
                "person": PERSON,
                "index": {"event": "first", **coded("index")},
                "rules": [{"name": "rule", "match": "ALL", "members": [criterion]}],
            },
            persons=True,
        )
        assert answer.person_ids is not None
        assert (f"e{number}" in answer.person_ids) is matches, (row, asked)


def test_what_is_undecided_is_counted_and_does_not_exclude(world: World) -> None:
    never = {"name": "never", "match": "NONE", "members": [at("ge", "1980-02")]}
    answer = ask(world.serving, {"name": "x", "person": PERSON, "rules": [never]}, persons=True)
    assert answer.person_ids is not None
    assert "e1" in answer.person_ids
    assert "e0" not in answer.person_ids
    assert [(each.path, each.reason, each.count) for each in answer.left_out] == [
        ("$.rules[0].members[0]", "undecided-date", 3)
    ]


def test_the_first_of_several_events_is_an_interval_too(world: World) -> None:
    for number, day in enumerate(("1980", "1980-05-10")):
        world.demo.update({**result("e0", "several", day), "id": f"several-{number}"})
    world.demo.update(result("e0", "later", "1980-05-11"))
    world.poll()
    for event, window, found in (
        ("first", {"after": 1}, 1),
        ("first", {"after": 2}, 0),
        ("first", {"after": 1, "before": 131}, 1),
        ("first", {"after": 1, "before": 130}, 0),
        ("last", {"after": -400, "before": 1}, 1),
        ("last", {"after": -400, "before": 0}, 0),
        ("last", {"after": -234}, 1),
        ("last", {"after": -233}, 0),
    ):
        rule = {"name": "later", "match": "ALL", "members": [coded("later", window=window)]}
        index = {"event": event, **coded("several")}
        document = {"name": "x", "person": PERSON, "index": index, "rules": [rule]}
        assert ask(world.serving, document).persons == found, (event, window)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1980", date(1980, 1, 1), date(1980, 12, 31)),
        ("1980-02", date(1980, 2, 1), date(1980, 2, 29)),
        ("1900-02", date(1900, 2, 1), date(1900, 2, 28)),
        ("1980-02-29", date(1980, 2, 29), date(1980, 2, 29)),
        ("9999-12", date(9999, 12, 1), date(9999, 12, 31)),
    ],
)
def test_days_that_a_date_stands_for(text: str, first: date, last: date) -> None:
    assert days_of(text) == (first, last)


def test_several_rows_for_one_person_are_refused(make_world: Callable[..., World]) -> None:
    column = {"column": [{"name": "given", "path": "$this", "type": "string"}], "forEach": "name.given"}
    columns = PEOPLE["select"][0]["column"]
    world = make_world()
    world.use([{**PEOPLE, "select": [{"column": columns, "select": [column]}]}])
    world.demo.update({"resourceType": "Patient", "id": "a", "name": [{"given": ["X", "Y"]}]})
    world.refresh()
    with pytest.raises(AmbiguousPersonError, match="several rows for 1 persons"):
        ask(world.serving, {"name": "x", "person": PERSON}, mode="batch")
