"""Types of columns: the specification's defaults, the tag `ansi/type`, and what cannot be converted."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline.views import compile_view

Evaluate = Callable[..., list[Any]]
OBSERVATION = {"resource": "Observation"}


def ansi(value: str) -> dict[str, Any]:
    return {"tag": [{"name": "ansi/type", "value": value}]}


def column_type(path: str, *, resource: str = "Patient", **column: Any) -> str:
    definition = {"resource": resource, "select": [{"column": [{"name": "x", "path": path, **column}]}]}
    return compile_view(definition).columns[0].type


@pytest.mark.parametrize(
    ("resource", "path", "declared", "expected"),
    [
        ("Patient", "active", "boolean", "boolean"),
        ("Patient", "multipleBirth.ofType(integer)", "integer", "integer"),
        ("Patient", "contact.first().extension('u').value.ofType(positiveInt)", "positiveInt", "integer"),
        ("Observation", "value.ofType(Quantity).value", "decimal", "numeric"),
        ("Observation", "issued", "instant", "timestamptz"),
        ("Patient", "photo.first().data", "base64Binary", "bytea"),
        ("Patient", "birthDate", "date", "text"),
        ("Observation", "effective.ofType(dateTime)", "dateTime", "text"),
        ("Patient", "gender", "code", "text"),
        ("Patient", "gender", "http://hl7.org/fhir/StructureDefinition/code", "text"),
        ("Patient", "gender", "http://hl7.org/fhirpath/System.String", "text"),
        ("Patient", "name.first()", "HumanName", "jsonb"),
        ("Patient", "name.first()", None, "jsonb"),
        ("Patient", "birthDate", None, "text"),
        ("Observation", "issued", None, "timestamptz"),
        ("Patient", "name.exists()", None, "boolean"),
        ("Patient", "%rowIndex", None, "integer"),
        ("Patient", "1.5", None, "numeric"),
    ],
)
def test_default_type(resource: str, path: str, declared: str | None, expected: str) -> None:
    column = {} if declared is None else {"type": declared}
    assert column_type(path, resource=resource, **column) == expected


def test_a_collection_is_jsonb() -> None:
    assert column_type("name.given", type="string", collection=True) == "jsonb"


@pytest.mark.parametrize(
    ("tag", "expected", "value"),
    [
        ("DATE", "date", dt.date(2020, 1, 2)),
        ("timestamp  with time zone", "timestamptz", dt.datetime(2020, 1, 2, 1, 4, 5, tzinfo=dt.UTC)),
        ("TIMESTAMP", "timestamp", dt.datetime(2020, 1, 2, 1, 4, 5)),  # noqa: DTZ001 (the type has no zone)
        ("TIMESTAMP(0) WITH TIME ZONE", "timestamptz(0)", dt.datetime(2020, 1, 2, 1, 4, 5, tzinfo=dt.UTC)),
        ("CHARACTER VARYING", "text", "2020-01-02T03:04:05+02:00"),
        ("VARCHAR(40)", "varchar(40)", "2020-01-02T03:04:05+02:00"),
    ],
)
def test_the_tag_decides_the_type_of_a_date_time(evaluate: Evaluate, tag: str, expected: str, value: object) -> None:
    path = "effective.ofType(dateTime)"
    assert column_type(path, **OBSERVATION, type="dateTime", **ansi(tag)) == expected
    body = {"effectiveDateTime": "2020-01-02T03:04:05+02:00"}
    assert evaluate(path, body, {}, **OBSERVATION, type="dateTime", **ansi(tag)) == [value, None]


@pytest.mark.parametrize(
    ("tag", "expected", "value"),
    [
        ("DECIMAL(10,2)", "numeric(10,2)", Decimal("12.50")),
        ("NUMERIC", "numeric", Decimal("12.500")),
        ("character varying", "text", "12.500"),
    ],
)
def test_the_tag_decides_the_type_of_a_decimal(evaluate: Evaluate, tag: str, expected: str, value: object) -> None:
    path = "value.ofType(Quantity).value"
    body = '{"resourceType":"Observation","valueQuantity":{"value":12.500}}'
    assert column_type(path, **OBSERVATION, type="decimal", **ansi(tag)) == expected
    (found,) = evaluate(path, body, **OBSERVATION, type="decimal", **ansi(tag))
    assert str(found) == str(value)


def test_decimals_keep_thirty_digits_and_trailing_zeros(evaluate: Evaluate) -> None:
    digits = "123456789012345678901.123456789000"
    body = f'{{"resourceType":"Observation","valueQuantity":{{"value":{digits}}}}}'
    (found,) = evaluate("value.ofType(Quantity).value", body, **OBSERVATION, type="decimal")
    assert isinstance(found, Decimal)
    assert str(found) == digits


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ("1.0", "0.95", "1.05"),
        ("1.587", "1.5865", "1.5875"),
        ("-1.587", "-1.5875", "-1.5865"),
        ("1", "0.5", "1.5"),
        ("12.500", "12.4995", "12.5005"),
    ],
)
def test_boundaries_of_a_decimal_follow_its_written_digits(
    evaluate: Evaluate, written: str, low: str, high: str
) -> None:
    body = f'{{"resourceType":"Observation","valueQuantity":{{"value":{written}}}}}'
    path = "value.ofType(Quantity).value"
    assert evaluate(f"{path}.lowBoundary()", body, **OBSERVATION, type="decimal") == [Decimal(low)]
    assert evaluate(f"{path}.highBoundary()", body, **OBSERVATION, type="decimal") == [Decimal(high)]


def test_an_instant_is_a_moment_in_utc(evaluate: Evaluate) -> None:
    (found,) = evaluate("issued", {"issued": "2020-01-01T10:00:00.5+02:00"}, **OBSERVATION, type="instant")
    assert found == dt.datetime(2020, 1, 1, 8, 0, 0, 500_000, tzinfo=dt.UTC)


def test_base64_is_decoded(evaluate: Evaluate) -> None:
    assert evaluate("photo.first().data", {"photo": [{"data": "aGk="}]}, type="base64Binary") == [b"hi"]


def test_an_escaped_nul_becomes_the_replacement_character(evaluate: Evaluate) -> None:
    body = '{"resourceType":"Patient","name":[{"family":"a\\u0000b\\\\u0000\\\\\\u0000"}]}'
    assert evaluate("name.first().family", body, type="string") == ["a\ufffdb\\u0000\\\ufffd"]


@pytest.mark.parametrize(
    ("path", "body", "column", "sqlstate"),
    [
        ("name.family", {"name": [{"family": "A"}, {"family": "B"}]}, {"type": "string"}, "21000"),
        ("name.family = name.given.first() + 'x' and name.period.start > @2020", {"name": [{}, {}]}, {}, None),
        ("gender", {"gender": ["male", "female"]}, {"type": "code"}, "22023"),
        ("gender", {"gender": ["male"]}, {"type": "code"}, "22023"),
        ("gender", {"gender": {"value": "male"}}, {"type": "code"}, "22023"),
        ("name.family", {"name": [{"family": {"value": "A"}}]}, {"type": "string"}, "22023"),
        ("maritalStatus", {"maritalStatus": [{}, {}]}, {"type": "CodeableConcept"}, "22023"),
        ("active", {"active": "true"}, {"type": "boolean"}, "22023"),
        ("multipleBirth.ofType(integer)", {"multipleBirthInteger": 1.5}, {"type": "integer"}, "22P02"),
        ("multipleBirth.ofType(integer)", {"multipleBirthInteger": 2**31}, {"type": "integer"}, "22003"),
        ("birthDate", {"birthDate": "1970-06"}, {"type": "date", **ansi("DATE")}, "22007"),
        ("birthDate", {"birthDate": "1970-02-30"}, {"type": "date", **ansi("DATE")}, "22008"),
        ("gender", {"gender": "male"}, {"type": "code", **ansi("VARCHAR(3)")}, "22P02"),
        ("photo.first().data", {"photo": [{"data": "$"}]}, {"type": "base64Binary"}, "22023"),
        ("multipleBirth.ofType(integer)", {"multipleBirthInteger": "1"}, {"type": "integer"}, "22023"),
        ("multipleBirth.ofType(integer)", {"multipleBirthInteger": "NaN"}, {"type": "decimal"}, "22023"),
        ("multipleBirth.ofType(integer) + 1", {"multipleBirthInteger": "1"}, {"type": "integer"}, "22023"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_and_never_cut(
    evaluate: Evaluate, path: str, body: dict[str, Any], column: dict[str, Any], sqlstate: str | None
) -> None:
    if sqlstate is None:
        evaluate(path, body, **column)
        return
    with pytest.raises(psycopg.Error) as raised:
        evaluate(path, body, **column)
    assert raised.value.sqlstate == sqlstate


MOMENTS = ("DATE", "TIMESTAMP", "TIMESTAMP(0)", "TIMESTAMP WITH TIME ZONE")


@pytest.mark.parametrize("tag", MOMENTS)
@pytest.mark.parametrize(
    "written",
    ["now", "today", "epoch", "infinity", "-infinity", "", "2020", "2020-01", "20200102", "2 Jan 2020", "01/02/2020",
     "2020-01-02 BC", "2020-01-02T03:04:05 BC", "2020-01-02T03", "0000-01-01", "10000-01-01"],
)  # fmt: skip
def test_what_postgresql_but_not_fhir_takes_for_a_moment_is_an_error(
    evaluate: Evaluate, tag: str, written: str
) -> None:
    with pytest.raises(psycopg.DataError) as raised:
        evaluate("effective.ofType(dateTime)", {"effectiveDateTime": written}, **OBSERVATION, **ansi(tag))
    assert raised.value.sqlstate in ("22007", "22008")


@pytest.mark.parametrize(
    ("written", "tag", "expected"),
    [
        ("9999-12-31T23:59:59Z", MOMENTS[3], dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)),
        ("9999-12-31T23:59:59.999Z", MOMENTS[3], dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)),
        ("9999-12-31T23:59:59.999Z", MOMENTS[2], None),
        ("9999-12-31T23:59:59-01:00", MOMENTS[3], None),
        ("9999-12-31T23:59:59-01:00", MOMENTS[0], dt.date(9999, 12, 31)),
        ("0001-01-01T00:00:00Z", MOMENTS[1], dt.datetime(1, 1, 1)),  # noqa: DTZ001 (the type has no zone)
        ("0001-01-01T00:00:00+01:00", MOMENTS[1], None),
        ("2020-01-02T03:04:05.25", MOMENTS[1], dt.datetime(2020, 1, 2, 3, 4, 5, 250_000)),  # noqa: DTZ001 (the type has no zone)
        ("2020-01-02T03:04+01:00", MOMENTS[3], dt.datetime(2020, 1, 2, 2, 4, tzinfo=dt.UTC)),
    ],
)
def test_a_moment_is_one_that_python_can_hold(
    evaluate: Evaluate, written: str, tag: str, expected: dt.date | None
) -> None:
    body = {"effectiveDateTime": written}
    if expected is None:
        with pytest.raises(psycopg.errors.InvalidDatetimeFormat):
            evaluate("effective.ofType(dateTime)", body, **OBSERVATION, **ansi(tag))
    else:
        assert evaluate("effective.ofType(dateTime)", body, {}, **OBSERVATION, **ansi(tag)) == [expected, None]


@pytest.mark.parametrize(
    ("written", "expected"),
    [("10:30:00", dt.time(10, 30)), ("23:59:59.5", dt.time(23, 59, 59, 500_000)), ("24:00:00", None),
     ("23:59:60", None), ("23:59:59.9999999", None), ("10:30", None), ("allballs", None), ("now", None)],
)  # fmt: skip
def test_a_time_of_day_is_one_that_python_can_hold(evaluate: Evaluate, written: str, expected: dt.time | None) -> None:
    if expected is None:
        with pytest.raises(psycopg.errors.InvalidDatetimeFormat):
            evaluate("value.ofType(time)", {"valueTime": written}, **OBSERVATION, **ansi("TIME"))
    else:
        assert evaluate("value.ofType(time)", {"valueTime": written}, {}, **OBSERVATION, **ansi("TIME")) == [
            expected, None,
        ]  # fmt: skip


@pytest.mark.parametrize("body", [{"active": False}, {}])
def test_several_values_where_one_is_compared_are_an_error(evaluate: Evaluate, body: dict[str, Any]) -> None:
    body = {**body, "name": [{"period": {"start": "2020"}}, {"period": {"start": "2021"}}]}
    with pytest.raises(psycopg.errors.CardinalityViolation):
        evaluate("name.period.start > @2019", body, type="boolean")


@pytest.mark.parametrize(
    ("path", "column", "blamed"),
    [
        ("gender", {"type": "integer"}, "$.select[0].column[0].type"),
        ("name.first()", {"type": "string"}, "$.select[0].column[0].type"),
        ("gender", {"type": "boolean"}, "$.select[0].column[0].type"),
        ("gender", {"type": "HumanName"}, "$.select[0].column[0].type"),
        ("gender", {"type": "cod"}, "$.select[0].column[0].type"),
        ("gender", {"type": "code", **ansi("INTEGER")}, "$.select[0].column[0].tag[0].value"),
        ("birthDate", {"type": "date", **ansi("money")}, "$.select[0].column[0].tag[0].value"),
        ("birthDate", {"type": "date", **ansi("DOUBLE PRECISION")}, "$.select[0].column[0].tag[0].value"),
        ("birthDate", {"type": "date", **ansi("DATE(3)")}, "$.select[0].column[0].tag[0].value"),
        ("birthDate", {"type": "date", **ansi("DATE(3) WITH TIME ZONE")}, "$.select[0].column[0].tag[0].value"),
        ("birthDate", {"type": "date", "tag": 2 * ansi("DATE")["tag"]}, "$.select[0].column[0].tag[1].value"),
        ("name.given", {"collection": True, **ansi("VARCHAR")}, "$.select[0].column[0].tag[0].value"),
        ("{}", {}, "$.select[0].column[0].path"),
    ],
)
def test_a_type_that_the_path_cannot_have_is_refused(path: str, column: dict[str, Any], blamed: str) -> None:
    with pytest.raises(ViewDefinitionError) as raised:
        column_type(path, **column)
    assert [problem.path for problem in raised.value.problems] == [blamed]
