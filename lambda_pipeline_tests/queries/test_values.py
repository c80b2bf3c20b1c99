"""Values of declared parameters: what each FHIR type takes, and what it refuses, without a server."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.queries import Parameter, SavedQuery
from lambda_pipeline.queries.values import PARAMETER_TYPES, bind, read_value

TAKEN: list[tuple[str, Any, Any]] = [
    ("string", "a b", "a b"),
    ("code", "44054006", "44054006"),
    ("id", "a-1.B", "a-1.B"),
    ("uri", "urn:x", "urn:x"),
    ("url", "https://example.org", "https://example.org"),
    ("canonical", "https://example.org|1", "https://example.org|1"),
    ("oid", "urn:oid:1.2.3", "urn:oid:1.2.3"),
    ("uuid", "urn:uuid:00000000-0000-0000-0000-000000000000", "urn:uuid:00000000-0000-0000-0000-000000000000"),
    ("boolean", "true", True),
    ("boolean", False, False),
    ("integer", "-7", -7),
    ("integer", Decimal("7.0"), 7),
    ("positiveInt", 1, 1),
    ("unsignedInt", "0", 0),
    ("integer64", str(2**63 - 1), 2**63 - 1),
    ("decimal", "6.50", Decimal("6.50")),
    ("decimal", 6.1, Decimal("6.1")),
    ("decimal", 7, Decimal(7)),
    ("date", "1980", "1980"),
    ("date", date(1980, 2, 29), "1980-02-29"),
    ("dateTime", "2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
    ("dateTime", date(1980, 2, 29), "1980-02-29"),
    ("instant", datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00+00:00"),
    ("time", time(8, 30), "08:30:00"),
]
REFUSED: list[tuple[str, Any]] = [
    ("string", 7),
    ("string", ""),
    ("string", "secret\0"),
    ("string", ["secret"]),
    ("string", None),
    ("code", " secret"),
    ("id", "secret_"),
    ("oid", "secret"),
    ("uuid", "secret"),
    ("uri", "secret secret"),
    ("url", "secret secret"),
    ("canonical", "secret secret"),
    ("boolean", "secret"),
    ("boolean", 1),
    ("integer", "6.5"),
    ("integer", 2**31),
    ("integer", "secret"),
    ("integer", True),
    ("integer", 7.0),
    ("positiveInt", 0),
    ("unsignedInt", -1),
    ("integer64", 2**63),
    ("decimal", "NaN"),
    ("decimal", float("inf")),
    ("decimal", "secret"),
    ("decimal", True),
    ("date", "1980-02-30"),
    ("date", "secret"),
    ("date", "01/02/03"),
    ("date", datetime(2026, 1, 31, tzinfo=UTC)),
    ("dateTime", "2026-01-31T25:00:00Z"),
    ("instant", "2026-01-31"),
    ("instant", datetime(2026, 1, 31, 8)),  # noqa: DTZ001 (without a zone on purpose)
    ("time", "8:30"),
]


@pytest.mark.parametrize(("type_", "given", "bound"), TAKEN)
def test_values_of_the_type_are_bound(type_: str, given: Any, bound: Any) -> None:
    value = read_value(Parameter("p", type_), given)
    assert (value, type(value)) == (bound, type(bound))


@pytest.mark.parametrize(("type_", "given"), REFUSED)
def test_other_values_are_refused_without_being_repeated(type_: str, given: Any) -> None:
    with pytest.raises(BadRequestError) as raised:
        read_value(Parameter("p", type_), given)
    assert f"parameter :p {type_}: " in str(raised.value)
    assert "secret" not in str(raised.value)


def test_every_type_is_tried() -> None:
    assert {type_ for type_, _, _ in TAKEN} == {type_ for type_, _ in REFUSED} == PARAMETER_TYPES


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "q: no value for :since date (its parameters: :since date, :n integer)"),
        ({"since": "2020"}, "q: no value for :n integer"),
        ({"sinse": "2020"}, "q has no parameter :sinse (did you mean :since? its parameters: :since date, :n integer)"),
        ({"since": "2020", "n": 1, "x": 1}, "q has no parameter :x (its parameters"),
        ({"since": "20", "n": 1}, "parameter :since date: the text is not a date, such as 1980"),
    ],
)
def test_undeclared_missing_and_misspelt_parameters_are_refused(given: dict[str, Any], said: str) -> None:
    query = SavedQuery("q", "", declared=True, parameters=(Parameter("since", "date"), Parameter("n", "integer")))
    with pytest.raises(BadRequestError) as raised:
        bind(query, given)
    assert said in str(raised.value)
