"""Views of a version of FHIR: `fhirVersion`, what is refused by name, and JSON texts that are numbers (integer64)."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from lambda_pipeline.errors import Problem, ViewDefinitionError
from lambda_pipeline.views import compile_view

Evaluate = Callable[..., list[Any]]


def definition(resource: str, path: str, versions: Any = None, **column: Any) -> dict[str, Any]:
    stated = {} if versions is None else {"fhirVersion": versions}
    return {**stated, "resource": resource, "select": [{"column": [{"name": "x", "path": path, **column}]}]}


def problem(refused: Any) -> Problem:
    with pytest.raises(ViewDefinitionError) as raised:
        compile_view(refused)
    (found,) = raised.value.problems
    return found


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (None, ["R4"]),
        (["4.0.1"], ["R4"]),
        (["4.0"], ["R4"]),
        ("4.0.1", ["R4"]),
        (["4.3.0"], ["R4B"]),
        (["5.0"], ["R5"]),
        (["5.0.0", "4.0.1"], ["R4", "R5"]),
        (["3.0.2", "4.0.1"], ["R4"]),
    ],
)
def test_the_versions_of_a_view(versions: Any, expected: list[str]) -> None:
    assert [version.name for version in compile_view(definition("Patient", "id", versions)).fhir_versions] == expected


@pytest.mark.parametrize("versions", [[], ["3.0.2"], ["4.1.0"], ["R5"], ["5.0.0-ballot"], "", [5], {}])
def test_a_version_that_is_not_supported(versions: Any) -> None:
    found = problem(definition("Patient", "id", versions))
    assert found.path == "$.fhirVersion"
    assert "has no version of FHIR that is supported" in found.reason
    assert found.hint == "one of 4.0.1, 4.3.0, 5.0.0"


@pytest.mark.parametrize(
    ("resource", "path", "version", "reason", "hint"),
    [
        (
            "Observation",
            "subjct",
            "5.0.0",
            "Observation has no element 'subjct' in R5 (5.0.0)",
            "did you mean subject?",
        ),
        ("Encounter", "actualPeriod", "4.0.1", "Encounter has no element 'actualPeriod' in R4 (4.0.1)", ""),
        ("Encounter", "hospitalization", "5.0.0", "Encounter has no element 'hospitalization' in R5 (5.0.0)", ""),
        ("Encounter", "class.code", "5.0.0", "CodeableConcept has no element 'code' in R5 (5.0.0)", ""),
        ("MedicationRequest", "medication.ofType(Reference)", "5.0.0", "this is a CodeableReference", ""),
        ("Media", "id", "5.0.0", "R5 (5.0.0) has no resource type 'Media'", ""),
        ("InventoryItem", "id", "4.3.0", "R4B (4.3.0) has no resource type 'InventoryItem'", ""),
        ("EffectEvidenceSynthesis", "id", "4.3.0", "R4B (4.3.0) has no resource type 'EffectEvidenceSynthesis'", ""),
        ("CanonicalResource", "id", "5.0.0", "R5 (5.0.0) has no resource type 'CanonicalResource'", ""),
        ("Observation", "value.ofType(CodeableReference)", "4.0.1", "R4 (4.0.1) has no type CodeableReference", ""),
        ("Observation", "subject.getReferenceKey(Transport)", "4.3.0", "R4B (4.3.0) has no type Transport", ""),
    ],
)
def test_a_name_that_the_version_does_not_have(resource: str, path: str, version: str, reason: str, hint: str) -> None:
    found = problem(definition(resource, path, [version]))
    assert reason in found.reason
    assert hint in found.hint


def test_a_type_of_a_column_that_the_version_does_not_have() -> None:
    found = problem(definition("Observation", "id", ["4.0.1"], type="CodeableReference"))
    assert (found.path, found.reason) == ("$.select[0].column[0].type", "R4 (4.0.1) has no type 'CodeableReference'")


def test_a_view_of_several_versions_must_compile_under_each() -> None:
    found = problem(definition("Encounter", "actualPeriod.start", ["4.0.1", "5.0.0"]))
    assert "Encounter has no element 'actualPeriod' in R4 (4.0.1)" in found.reason


def test_a_view_of_several_versions_must_be_the_same_in_each() -> None:
    found = problem(definition("Encounter", "class.exists()", ["4.0.1", "5.0.0"]))
    assert found.path == "$.fhirVersion"
    assert "read differently in R4 (4.0.1) and R5 (5.0.0)" in found.reason
    assert found.hint == "write one view for each version"


def test_a_mistake_that_is_the_same_in_all_versions_is_reported_once() -> None:
    assert "expected a name" in problem(definition("Patient", "name.", ["4.0.1", "4.3.0", "5.0.0"])).reason


def size(value: Any) -> dict[str, Any]:
    return {"resourceType": "DocumentReference", "id": "d", "content": [{"attachment": {"size": value}}]}


@pytest.mark.parametrize(
    ("value", "sqlstate"),
    [
        (5, "22023"),
        ([5], "22023"),
        ("five", "22P02"),
        ("1.0", "22P02"),
        ("05", "22P02"),
        ("", "22P02"),
        (" 5", "22P02"),
        ("9223372036854775808", "22003"),
    ],
)
@pytest.mark.parametrize(
    "path", ["content.attachment.size", "content.attachment.size > 0", "content.where(attachment.size > 0).exists()"]
)
def test_a_text_that_is_no_integer64_cannot_be_read(run_view: Any, path: str, value: Any, sqlstate: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        run_view(definition("DocumentReference", path, ["5.0.0"]), [size(value)])
    assert raised.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("content.attachment.size", -(2**63)),
        ("content.attachment.size - 0", -(2**63)),
        ("-(content.attachment.size + 1)", 2**63 - 1),
        ("content.attachment.size div 2", -(2**62)),
        ("content.attachment.size mod 10", -8),
        ("content.attachment.size / 2", -(2**62)),
        ("content.attachment.size.first() = -9223372036854775808", True),
        ("content.attachment.size = %smallest", True),
        ("content.attachment.size.exists()", True),
        ("5 in content.attachment.size", False),
        ("%smallest in content.attachment.size", True),
        ("content.attachment.size contains -9223372036854775808", True),
        ("(content.attachment.size | %smallest).count()", 1),
        ("iif(true, content.attachment.size, %smallest)", -(2**63)),
    ],
)
def test_arithmetic_of_integer64(run_view: Any, path: str, expected: Any) -> None:
    view = definition("DocumentReference", path, ["5.0.0"])
    view["constant"] = [{"name": "smallest", "valueInteger64": "-9223372036854775808"}]
    assert run_view(view, [size("-9223372036854775808")]) == [{"x": expected}]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("content.attachment.size = 5", "= does not compare several values, an integer64 with an integer"),
        ("content.attachment.size | 5", "| takes elements of one type, not an integer64 and an integer"),
    ],
)
def test_texts_of_numbers_are_not_mixed_with_numbers(path: str, reason: str) -> None:
    assert reason in problem(definition("DocumentReference", path, ["5.0.0"])).reason
