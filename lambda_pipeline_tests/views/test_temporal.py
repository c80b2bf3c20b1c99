"""Dates and times that are not FHIR make their resource unreadable, wherever a view reads them."""

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from lambda_pipeline.database import Connection
from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline.views.primitives import primitive_problem
from lambda_pipeline.views.temporal_checks import checked

Evaluate = Callable[..., list[Any]]
UNREADABLE = (psycopg.errors.InvalidDatetimeFormat, psycopg.errors.DatetimeFieldOverflow)
ELEMENTS = {
    "date": ("Patient", "birthDate", "birthDate", "@1995-01-01"),
    "dateTime": ("Patient", "deceased.ofType(dateTime)", "deceasedDateTime", "@1995-01-01T00:00:00Z"),
    "instant": ("Observation", "issued", "issued", "@1995-01-01T00:00:00Z"),
    "time": ("Observation", "value.ofType(time)", "valueTime", "@T12:00:00"),
}
"""FHIR type -> resource type, path, JSON name, and a literal to compare with."""

WRONG = {
    "date": ["199", "2021-02-29", "unknown", "", "infinity", "2020-01-01T10:00:00Z", "0000", "2020-13"],
    "dateTime": ["199", "2021-02-29", "unknown", "", "infinity", "tbd", "2020-01-01T24:00:00Z",
                 "2020-01-01T10:00:00+15:00", "2020-02-30T10:00:00Z", "2020-01-01 10:00:00Z"],
    "instant": ["2020", "2020-01-01", "2020-01-01T10:30:00", "2020-01-01T10:30Z", "now"],
    "time": ["noon", "25:00:00", "", "10:30", "24:00:00", "10:30:00Z"],
}  # fmt: skip
USES = ("{path}", "{path}.lowBoundary()", "{path}.highBoundary()", "{path} < {literal}", "{path} = {literal}")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("fhir_type", "text"), [(name, text) for name in WRONG for text in WRONG[name]])
def test_a_text_that_is_not_of_its_type_cannot_be_read(evaluate: Evaluate, fhir_type: str, text: str, use: str) -> None:
    resource, path, key, literal = ELEMENTS[fhir_type]
    with pytest.raises(UNREADABLE):
        evaluate(use.format(path=path, literal=literal), {key: text}, resource=resource)


@pytest.mark.parametrize(
    "path", ["period.lowBoundary()", "contained.ofType(Observation).effective.ofType(Period).highBoundary()"]
)
def test_a_boundary_of_a_period_or_of_several_values_is_checked(evaluate: Evaluate, path: str) -> None:
    period = {"start": "tbd", "end": "tbd"}
    body = {"period": period, "contained": [{"resourceType": "Observation", "effectivePeriod": period}]}
    with pytest.raises(UNREADABLE):
        evaluate(path, body, resource="Encounter", collection=True)


@pytest.mark.parametrize("declared", ["date", "instant"])
def test_a_declared_type_is_a_promise_about_the_value(evaluate: Evaluate, declared: str) -> None:
    good = {"date": "2020-01", "instant": "2020-01-01T10:00:00Z"}
    path, observation = "effective.ofType(dateTime)", {"resource": "Observation", "type": declared}
    assert evaluate(path, {"effectiveDateTime": good.pop(declared)}, **observation) != [None]
    with pytest.raises(UNREADABLE):
        evaluate(path, {"effectiveDateTime": next(iter(good.values()))}, **observation)


@pytest.mark.parametrize(("path", "declared"), [("birthDate", "instant"), ("birthDate", "time")])
def test_a_declared_type_that_no_value_can_have_is_refused(evaluate: Evaluate, path: str, declared: str) -> None:
    with pytest.raises(ViewDefinitionError, match=f"declared as {declared}, but the path gives date"):
        evaluate(path, type=declared)


def test_a_date_cannot_become_a_timestamp(evaluate: Evaluate) -> None:
    with pytest.raises(ViewDefinitionError, match="the path gives date, which cannot become TIMESTAMP"):
        evaluate("birthDate", tag=[{"name": "ansi/type", "value": "TIMESTAMP"}])


UTC, NAIVE = dt.datetime(2012, 5, 25, 4, 30, tzinfo=dt.UTC), dt.datetime(2012, 5, 24, 23, 30)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("written", "date", "timestamp", "timestamp_with_zone"),
    [
        ("2012", None, None, None),
        ("2012-05", None, None, None),
        ("2012-05-24", dt.date(2012, 5, 24), None, None),
        ("2012-05-24T23:30:00-05:00", dt.date(2012, 5, 24), UTC.replace(tzinfo=None), UTC),
        ("2012-05-24T23:30-05:00", dt.date(2012, 5, 24), UTC.replace(tzinfo=None), UTC),
        ("2012-05-24T23:30:00", dt.date(2012, 5, 24), NAIVE, None),
        ("2012-05-24T23:30", dt.date(2012, 5, 24), NAIVE, None),
    ],
)
@pytest.mark.parametrize("session_zone", ["UTC", "Asia/Tokyo"])
def test_the_table_of_the_documentation(
    evaluate: Evaluate,
    connection: Connection,
    session_zone: str,
    written: str,
    date: dt.date | None,
    timestamp: dt.datetime | None,
    timestamp_with_zone: dt.datetime | None,
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL timezone = '{session_zone}'", {})
        for tag, expected in (
            ("DATE", date), ("TIMESTAMP", timestamp), ("TIMESTAMP WITH TIME ZONE", timestamp_with_zone),
        ):  # fmt: skip
            column = {"resource": "Observation", "tag": [{"name": "ansi/type", "value": tag}]}
            body = {"effectiveDateTime": written}
            if expected is not None:
                assert evaluate("effective.ofType(dateTime)", body, **column) == [expected]
                continue
            with pytest.raises(UNREADABLE), connection.transaction():
                evaluate("effective.ofType(dateTime)", body, **column)


SEEDS = (
    "2020", "2020-06", "2020-06-15", "2020-06-15T11:22Z", "2020-06-15T11:22:33", "2020-06-15T11:22:33Z",
    "2020-02-29T23:59:60-05:00", "2020-06-15T11:22:33.5+05:00", "2020-06-15T11:22:33.123-14:00", "11:22:33",
)  # fmt: skip


def test_postgresql_accepts_exactly_what_the_validator_accepts(connection: Connection) -> None:
    """Texts that differ from valid ones in a few characters, where casts of PostgreSQL are generous."""
    chance = random.Random(20)
    texts = set(SEEDS)
    for _ in range(20_000):
        text = list(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text))
            text[at : at + chance.randint(0, 1)] = chance.choice("0012345699-:.TZ+ e")
        texts.add("".join(text))
    for fhir_type in ELEMENTS:
        _create_is_accepted(connection, fhir_type)
        rows = connection.execute(
            "SELECT t, pg_temp.is_accepted(t) FROM unnest(%(texts)s::text[]) t", {"texts": list(texts)}
        )
        accepted = {text for text, is_accepted in rows if is_accepted}
        assert accepted == {text for text in texts if primitive_problem(text, fhir_type) is None}
        assert 5 < len(accepted) < len(texts)


def _create_is_accepted(connection: Connection, fhir_type: str) -> None:
    connection.execute(
        "CREATE OR REPLACE FUNCTION pg_temp.is_accepted(t text) RETURNS boolean LANGUAGE plpgsql AS $$"
        f" BEGIN RETURN {checked('t', fhir_type)} = t;"
        " EXCEPTION WHEN data_exception THEN RETURN false; END $$",
    )
