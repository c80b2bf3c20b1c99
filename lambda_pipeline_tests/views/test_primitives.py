"""Which texts are FHIR primitives: the specification's patterns and the calendar."""

import datetime as dt
import itertools

import pytest

from lambda_pipeline.views.primitives import primitive_problem


@pytest.mark.parametrize(
    ("fhir_type", "text"),
    [
        ("date", "1980"),
        ("date", "1980-06"),
        ("date", "2024-02-29"),
        ("dateTime", "1980-06"),
        ("dateTime", "2026-01-31T08:00:00Z"),
        ("dateTime", "2026-01-31T08:00:00.123456+14:00"),
        ("dateTime", "2026-01-31T08:00"),
        ("instant", "2026-01-31T08:00:00-05:00"),
        ("dateTime", "2016-12-31T23:59:60Z"),
        ("time", "23:59:59.999"),
        ("code", "in progress"),
        ("id", "a.b-C9"),
        ("string", "1/1/1980"),
    ],
)
def test_values(fhir_type: str, text: str) -> None:
    assert primitive_problem(text, fhir_type) is None


@pytest.mark.parametrize(
    ("fhir_type", "text"),
    [
        ("date", "1/1/1980"),
        ("date", "199"),
        ("date", "0000"),
        ("date", "1980-13"),
        ("date", "2021-02-29"),
        ("date", "1980-06-30T00:00:00Z"),
        ("date", "unknown"),
        ("date", "١٩٨٠"),
        ("date", "1980\n"),
        ("dateTime", "infinity"),
        ("dateTime", "now"),
        ("dateTime", ""),
        ("dateTime", "2021-02-29T00:00:00Z"),
        ("dateTime", "2026-01-31T24:00:00Z"),
        ("dateTime", "2026-01-31T08:00:00+15:00"),
        ("dateTime", "2026-01-31 08:00:00Z"),
        ("instant", "2026-01-31"),
        ("instant", "2026-01-31T08:00:00"),
        ("time", "25:00:00"),
        ("time", "noon"),
        ("time", ""),
        ("code", " padded "),
        ("id", "a_b"),
        ("id", "a" * 65),
        ("uri", "urn:two words"),
    ],
)
def test_other_texts(fhir_type: str, text: str) -> None:
    assert primitive_problem(text, fhir_type)


def test_the_patterns_know_the_calendar() -> None:
    for year, month, day in itertools.product(
        (*range(1, 401), 1600, 1900, 2000, 2023, 2100, 9999), range(14), range(33)
    ):
        text = f"{year:04}-{month:02}-{day:02}"
        try:
            dt.date(year, month, day)
        except ValueError:
            assert primitive_problem(text, "date"), text
        else:
            assert primitive_problem(text, "date") is None, text


def test_a_problem_does_not_repeat_the_text() -> None:
    assert primitive_problem("1/2/1980", "date") == "the text is not a date, such as 1980, 1980-06 or 1980-06-30"
    assert primitive_problem("a b", "id") == "the text is not an id"
