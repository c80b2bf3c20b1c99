"""`count`: groups on standard output, what is known about them beside it."""

import csv
import io

import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.programs import Program


@pytest.mark.usefixtures("published")
def test_groups_are_counted_without_sql(program: Program) -> None:
    asked = program("count", "patient_simple", "--by", "gender", "--by", "birth_date:month", "--format", "csv")
    assert asked.code == 0
    assert list(csv.reader(io.StringIO(asked.out))) == [
        ["gender", "birth_date:month", "_count"],
        ["female", "1980-05", "1"],
        ["female", "1990-05", "1"],
        ["male", "1950-01", "1"],
        ["male", "1960", "1"],
        ["male", "1970-05", "1"],
    ]
    assert asked.err.startswith("5 rows counted")
    assert "valid as of" in asked.err


@pytest.mark.usefixtures("published")
def test_ages_filters_and_bad_words(program: Program) -> None:
    ages = ("count", "patient_simple", "--by", "birth_date:age", "--age-at", "2000-01-01", "--format", "csv")
    assert program(*ages, "--age-bands", "30").out.splitlines()[1:] == ["0-29,3", "30+,2"]
    assert program(*ages, "--where", "gender", "eq", "female").out.splitlines()[1:] == ["0-17,1", "18-44,1"]
    assert "whole years" in program(*ages, "--age-bands", "a").err
    assert program("count", "patient_simple", "--by", "nope").code == 3


def test_small_counts_are_not_shown_where_the_setting_says_so(
    published: DemoHapi, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_DISCLOSURE_MIN_CELL", "11")
    asked = program("count", "patient_simple", "--by", "family", "--format", "csv")
    assert (asked.code, asked.out.splitlines()) == (0, ["family,_count"])
    assert asked.err.startswith("<11 rows counted")
    assert "note: 5 groups of fewer than 11 rows" in asked.err
