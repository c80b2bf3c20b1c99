"""Errors of questions say what is wrong and where, and hold no value of a resource, whatever PostgreSQL quotes."""

import re
import traceback
from collections.abc import Iterator

import psycopg
import pytest

from lambda_pipeline.errors import BadRequestError, LambdaPipelineError, QueryFailedError
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline_tests.support.failing_sql import FAILING, MARK, MARKED
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World


@pytest.fixture
def marked(empty_world: World) -> World:
    """One patient in the generation and one in the overlay, with a name that nothing can read."""
    empty_world.demo.update(patient("a", name=[{"family": MARKED, "given": [MARKED]}], birthDate="1980-01-01"))
    empty_world.refresh()
    empty_world.demo.update(patient("b", name=[{"family": MARKED, "given": [MARKED]}], birthDate="1980-01-01"))
    empty_world.poll()
    return empty_world


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error with everything that hangs from it, shown or not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def quoted_by_postgresql(world: World, statement: str) -> bool:
    with world.database.connect() as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute(f"SET search_path = sqlonfhir; {statement}".encode()).fetchall()
    return MARK in str(raised.value)


def test_no_value_is_in_an_error_of_a_question(marked: World) -> None:
    for statement in FAILING:
        for mode in ("live", "batch"):
            with pytest.raises(LambdaPipelineError) as raised:
                marked.serving.select(statement, mode=mode)
            for error in chain(raised.value):
                said = "".join(traceback.format_exception(error))
                assert MARK not in f"{error!r} {error} {said}".replace(statement, ""), statement
        assert type(raised.value) is QueryFailedError, (statement, str(raised.value))
    quoted = sum(quoted_by_postgresql(marked, statement) for statement in FAILING)
    assert quoted > 45, "without words of ours most of these would quote the name"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT frist\n  FROM patients", 'SQL, line 1, column 8: column "frist" does not exist'),
        ("SELECT id,\n  patient.family FROM patients AS p", "SQL, line 2, column 3: missing FROM-clause entry"),
        ("SELECT gender, count(*) FROM patients", 'column "patients.gender" must appear in the GROUP BY'),
        (
            "SELECT 1 AS x FROM patients WHERE birth_date > now()",
            "convert them, as in effective_date_time::timestamptz",
        ),
        ("SELECT '%', 5 % 2, :a::integer + ids FROM patients", 'SQL, line 1, column 34: column "ids" does not exist'),
        ("SELECT 'Zqxmark'::integer AS x", "SQL, line 1, column 8: a text cannot be converted to the type"),
        ("SELECT :a::integer AS x", "parameter :a: a text cannot be converted to the type"),
        ("SELECT 1 AS x FROM patients WHERE length(family) = :a", "parameter :a: a text cannot be converted"),
        ("SELECT CASE WHEN 1 THEN 2 END AS x", "argument of CASE/WHEN must be type boolean, not type integer"),
        ("SELECT 1 AS x ORDER BY 2", "ORDER BY position 2 is not in select list"),
        ("SELECT lower(1) AS x", "SQL, line 1, column 8: function lower(integer) does not exist"),
        ("SELECT sum(sum(1)) AS x", "aggregate function calls cannot be nested"),
        ("SELECT 1 AS x FROM patients p JOIN patients q", "SQL, line 1, column 46: a syntax error"),
        (
            "SELECT :a AS x FROM patients\n WHERE id IS NOT NUL",
            "SQL, line 2, column 18: NUL cannot be read here (did you",
        ),
        ("SELECT :a::integer AS x", "the type that the statement asks for (the statement takes it for integer)"),
        ("SELECT id FROM patients WHERE id = ANY (:a)", "(the statement takes it for text[], such as {a,b})"),
    ],
)
def test_an_error_in_the_text_names_the_place_or_the_parameter(marked: World, statement: str, said: str) -> None:
    values = dict.fromkeys(guard(statement, ["patients"]).parameters, MARK)
    with pytest.raises(QueryFailedError, match=re.escape(said)) as raised:
        marked.serving.select(statement, values)
    assert MARK not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "said"), [({}, "no value for :id"), ({"id": "a", "name": "b"}, "the statement has no parameter :name")]
)
def test_each_parameter_has_a_value_and_each_value_a_parameter(
    empty_world: World, values: dict[str, str], said: str
) -> None:
    empty_world.refresh()
    with pytest.raises(BadRequestError, match=said):
        empty_world.serving.select("SELECT count(*) AS n FROM patients WHERE id = :id", values)


@pytest.mark.parametrize(
    "cast", [":since::date", "CAST(:since AS date)", "timestamptz '2026-01-01' + (now() - :since)"]
)
@pytest.mark.parametrize("value", ["1/1/1980", "01/02/03", "19800101", "Zqxmark", "1980", "2026-02-30", "today"])
def test_a_parameter_that_is_bound_as_a_date_is_written_as_one(empty_world: World, cast: str, value: str) -> None:
    empty_world.refresh()
    with pytest.raises(BadRequestError, match=r"parameter :since: the value is not a (date|timestamp)") as raised:
        empty_world.serving.select(f"SELECT ({cast})::text AS x", {"since": value})
    assert value == "today" or value not in str(raised.value).partition("write it")[0]


def test_a_parameter_that_is_a_date_is_bound(marked: World) -> None:
    for cast, value in [("date", "1980-01-31"), ("timestamptz", "1980-01-31"), ("timestamp", "1980-01-31 08:00"),
                        ("timestamptz", "1980-01-31T08:00:00.5+01:00"), ("time", "08:30")]:  # fmt: skip
        assert len(marked.serving.select(f"SELECT (:a::{cast})::text AS x", {"a": value}).frame) == 1
    answer = marked.serving.select("SELECT id FROM patients WHERE birth_date > :since", {"since": "1979"})
    assert len(answer.frame) == 2


@pytest.mark.parametrize(("value", "named"), [(44054006, ":code"), (True, ":code"), ([1, 2], ":code"), (1.5, ":code")])
def test_a_number_in_place_of_a_code_is_named_by_its_parameter(marked: World, value: object, named: str) -> None:
    """`parameters: {code: 44054006}` in YAML is a number, and no error said so."""
    comparison = "ANY (:code)" if isinstance(value, list) else ":code"
    with pytest.raises(QueryFailedError, match=f"{named} is given as a number or boolean: give it as text"):
        marked.serving.select(f"SELECT id FROM patients WHERE family = {comparison}", {"code": value})
