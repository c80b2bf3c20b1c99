"""Every case of the official suite at hand, and our own in the same format for what it leaves open."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline.views import compile_view
from lambda_pipeline_tests.support.cases import CASES, RunView, load_json, row_multiset

OFFICIAL = Path(__file__).parents[3] / "shared" / "conformance"


def cases(folder: Path) -> list[Any]:
    return [
        pytest.param(suite["resources"], case, id=f"{path.stem}: {case['title']}")
        for path in sorted(folder.glob("*.json"))
        for suite in [load_json(path)]
        for case in suite["tests"]
    ]


def check(run_view: RunView, resources: list[Any], case: dict[str, Any]) -> None:
    if case.get("expectError"):
        with pytest.raises((ViewDefinitionError, psycopg.DataError, psycopg.errors.CardinalityViolation)):
            run_view(case["view"], resources)
    elif "expectColumns" in case:
        assert [column.name for column in compile_view(case["view"]).columns] == case["expectColumns"]
        run_view(case["view"], resources)
    elif "expectCount" in case:
        assert len(run_view(case["view"], resources)) == case["expectCount"]
    else:
        assert row_multiset(run_view(case["view"], resources)) == row_multiset(case["expect"])


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"{OFFICIAL} is not there: the official conformance cases")
@pytest.mark.parametrize(("resources", "case"), cases(OFFICIAL))
def test_official_case(run_view: RunView, resources: list[Any], case: dict[str, Any]) -> None:
    check(run_view, resources, case)


@pytest.mark.parametrize(("resources", "case"), cases(CASES))
def test_own_case(run_view: RunView, resources: list[Any], case: dict[str, Any]) -> None:
    check(run_view, resources, case)


def test_the_official_suite_is_whole() -> None:
    if not OFFICIAL.is_dir():
        pytest.skip(f"{OFFICIAL} is not there")
    assert len(cases(OFFICIAL)) == 126
