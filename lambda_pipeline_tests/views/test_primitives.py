"""Which texts are FHIR primitives: the specification's patterns and the calendar."""

import pytest

from lambda_pipeline.views.primitives import is_primitive_value


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
        ("time", "23:59:59.999"),
        ("code", "in progress"),
        ("id", "a.b-C9"),
        ("string", "1/1/1980"),
    ],
)
def test_values(fhir_type: str, text: str) -> None:
    assert is_primitive_value(fhir_type, text)


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
    assert not is_primitive_value(fhir_type, text)
