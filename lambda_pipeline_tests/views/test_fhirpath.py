"""FHIRPath functions and operators: recorded values, and the same expressions in fhirpath.js where Node.js is there."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline_tests.views.fhirpath_cases import CASES, OWN_CASES, PATIENT

PACKAGE = "fhirpath@5.2.2"
SCRIPT = """
const fhirpath = require('fhirpath'), r4 = require('fhirpath/fhir-context/r4');
const {resource, expressions} = JSON.parse(require('fs').readFileSync(0));
const plain = value => JSON.parse(JSON.stringify(value));
console.log(JSON.stringify(expressions.map(text => {
  try { return plain(fhirpath.evaluate(resource, text, null, r4)) } catch (error) { return 'error: ' + error.message }
})));
"""

Evaluate = Callable[..., list[Any]]


def alike(values: list[Any]) -> Any:
    """Values such that equal ones are equal, whatever engine gives them: a decimal is written as a text too."""
    return [str(Decimal(str(value)).normalize()) if _is_number(value) else value for value in values]


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and re.fullmatch(r"-?[0-9]+([.][0-9]+)?", str(value)) is not None


@pytest.mark.parametrize(("path", "expected"), [*CASES, *OWN_CASES], ids=lambda value: str(value)[:60])
def test_value(evaluate: Evaluate, path: str, expected: list[Any]) -> None:
    (found,) = evaluate(path, PATIENT, collection=True)
    assert alike(found) == alike(expected)


@pytest.fixture(scope="module")
def other_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node.js finds fhirpath.js."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("needs Node.js and npm: fhirpath.js is the other engine")
    folder = tmp_path_factory.mktemp("fhirpath_js")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
    if subprocess.run(command, capture_output=True, timeout=200, check=False).returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: fhirpath.js is the other engine")
    return folder


def test_the_values_are_those_of_another_engine(other_engine: Path) -> None:
    given = json.dumps({"resource": PATIENT, "expressions": [path for path, _ in CASES]})
    run = subprocess.run(
        ["node", "-e", SCRIPT], cwd=other_engine, input=given, capture_output=True, text=True, timeout=100, check=True
    )
    found = json.loads(run.stdout, parse_float=Decimal)
    different = {
        path: (expected, other)
        for (path, expected), other in zip(CASES, found, strict=True)
        if alike(expected) != alike(other)
    }
    assert different == {}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("active.startsWith('a')", "startsWith() takes a string, not a boolean"),
        ("gender.startsWith(1)", "startsWith() takes a string, not an integer"),
        ("gender.substring('a')", "substring() takes a number, not a string"),
        ("gender.matches(gender)", "matches() takes a string that is known before"),
        ("gender.matches('(')", "the regular expression does not parse"),
        ("birthDate.upper()", "upper() takes a string, not a date"),
        ("deceased.length()", "deceased can be of several types"),
        ("birthDate < today()", "today() is not supported: a view must be a function of its resource"),
        ("gender.abs()", "abs() takes a number, not a code"),
        ("1.5.toInteger()", "toInteger() does not take a decimal"),
        ("name.toString()", "toString() does not take a HumanName"),
        ("gender div 2", "div takes two numbers, not a code and an integer"),
        ("1.5.round(gender)", "round() takes a whole number"),
        ("1.5.round(-1)", "round() takes a precision between 0 and 28"),
        ("birthDate.lowBoundary(5)", "lowBoundary() of a date takes one of the precisions 4, 6, 8"),
        ("name.given.allTrue()", "allTrue() takes booleans, not a string"),
        ("name.all(family)", "expected a boolean, but this is a string"),
        ("name.take(gender)", "take() takes a whole number"),
        ("name.family.value.count()", "a string has no element 'value'"),
        ("name.period is Period", "is takes one element, and this may give several"),
        ("gender is boolean", "this is a code, so it is never boolean"),
        ("gender as boolean", "this is a code, so it is never boolean"),
        ("deceased is string", "deceased does not have the type string"),
        ("name.iif(true, 1)", "iif takes one element, and this may give several"),
        ("gender.iif($this, 1)", "expected a boolean, but this is a code"),
        ("iif(gender, 1, 2)", "expected a boolean, but this is a code"),
        ("iif(true, 1, 'a')", "iif() gives values of one type, not an integer or a string"),
        ("birthDate in ('2020' | '2021')", "in compares values of one type, not a date with a string"),
        ("@T10 in (@2020 | @2021)", "in compares values of one type, not a time with a date"),
        ("@T24", "@T24 is not a supported literal"),
        ("@2015-02-30T14", "@2015-02-30T14 is not a supported literal"),
        ("@2015-02-04T14:", "@2015-02-04T14: is not a supported literal"),
        ("@2015-02T14", "@2015-02T14 is not a supported literal"),
        ("name contains 'a'", "contains compares values of one type, not a string with a HumanName"),
        ("5 'mg' > 5", "> compares values of one type, not a Quantity with an integer"),
        ("now()", "now() is not supported: a view must be a function of its resource"),
    ],
)
def test_refusal(evaluate: Evaluate, path: str, reason: str) -> None:
    with pytest.raises(ViewDefinitionError, match=re.escape(reason)):
        evaluate(path)


@pytest.mark.parametrize("path", ["name.text.upper()", "name.given.startsWith('K')", "name.single().text"])
def test_several_values_where_a_function_takes_one(evaluate: Evaluate, path: str) -> None:
    with pytest.raises(psycopg.errors.CardinalityViolation):
        evaluate(path, {"name": [{"text": "a", "given": ["a"]}, {"text": "b", "given": ["b"]}]})


QUANTITY = {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        ({"value": 4, "system": "http://unitsofmeasure.org", "code": "mg"}, True),
        ({"value": 4, "system": "http://unitsofmeasure.org", "code": "g"}, None),
        ({"value": 4, "system": "other", "code": "mg"}, None),
        ({"value": 4, "unit": "mg"}, None),
        ({**QUANTITY, "comparator": "<"}, None),
        ({"code": "mg", "system": "http://unitsofmeasure.org"}, None),
        (None, None),
    ],
)
def test_quantities_are_compared_if_they_have_one_unit(evaluate: Evaluate, low: object, expected: object) -> None:
    body = {"valueQuantity": QUANTITY, "referenceRange": [{"low": low} if low else {"text": "x"}]}
    path = "value.ofType(Quantity) > referenceRange.first().low"
    assert evaluate(path, body, resource="Observation") == [expected]


def test_units_without_codes_are_compared_as_texts(evaluate: Evaluate) -> None:
    body = {"valueQuantity": {"value": 5, "unit": "mg"}, "referenceRange": [{"low": {"value": 4, "unit": "mg"}}]}
    assert evaluate("value.ofType(Quantity) > referenceRange.first().low", body, resource="Observation") == [True]
