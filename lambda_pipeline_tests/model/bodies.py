"""Bodies of the model's resources: a few shapes by number, each on some side of something that a view asks."""

import gzip
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lambda_pipeline_tests.model.definitions import DIABETES
from lambda_pipeline_tests.model.oracle import UNREADABLE, Body

TAGS = ("reviewed", "draft", "study")


def logical_id(kind: str, number: int) -> str:
    return f"{kind[0].lower()}{number}"


def body(kind: str, shape: int) -> Body:
    """A body for every number; 0 is one that is in the cohort once its patient is."""
    return {"Patient": patient, "Condition": condition, "Observation": observation}[kind](shape)


def patient(shape: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Patient",
        "active": shape % 2 == 0,
        "gender": ("male", "female")[shape // 2 % 2],
    }
    birth = ("1980-02-29", "1980-02-29", None, "1980-02")[shape // 4 % 4]
    if birth:
        made["birthDate"] = birth
    return with_names(made, (shape // 16 + 1) % 4, ("A", "a\0b", "a\\u0000b")[shape // 32 % 3])


def with_names(made: Mapping[str, Any], count: int, family: str = "A") -> dict[str, Any]:
    """So many names, of one, two, ... given names."""
    kept = {name: value for name, value in made.items() if name != "name"}
    if not count:
        return kept
    return {**kept, "name": [{"family": family, "given": ["X", "Y", "Y"][: n + 1]} for n in range(count)]}


def condition(shape: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Condition",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": (DIABETES, "38341003")[shape // 6 % 2]}]},
        "subject": {"reference": f"Patient/p{shape % 6}"},
    }
    if shape // 12 % 2:
        made["verificationStatus"] = {"coding": [{"code": "entered-in-error"}]}
    return made


def observation(shape: int) -> dict[str, Any]:
    value = (Decimal("170.50"), Decimal(120), Decimal("123456789012345678901.000000001"), "tall")[shape // 6 % 4]
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/p{shape % 6}"},
        "valueQuantity": {"value": value, "unit": "cm"},
    }


def toggled(kind: str, made: Body) -> Body:
    """The same, on the other side of its view's `where`, or of the cohort's."""
    if kind == "Patient":
        return {**made, "active": not made.get("active")}
    if kind == "Observation":
        short = made["valueQuantity"]["value"] == Decimal(120)
        return {**made, "valueQuantity": {"value": Decimal("170.50") if short else Decimal(120), "unit": "cm"}}
    if "verificationStatus" in made:
        return {name: value for name, value in made.items() if name != "verificationStatus"}
    return {**made, "verificationStatus": {"coding": [{"code": "entered-in-error"}]}}


def raw(kind: str, number: int) -> tuple[str | None, Body, dict[str, Any]]:
    """Text, what can be read of it, and how it is stored."""
    plain = body(kind, 1)
    # `people` asks for a gender that is text; no other view of a patient reads it.
    partly = {**body(kind, 0), "gender": 5}
    text = json.dumps(plain, default=str).replace('"170.50"', "170.50")
    stored: list[tuple[str | None, Body, dict[str, Any]]] = [
        ('{"resourceType": ', UNREADABLE, {}),
        ("[1]", UNREADABLE, {}),
        (None, UNREADABLE, {}),
        (None, UNREADABLE, {"encoding": "ESR"}),
        (None, plain, {"encoding": "JSONC", "large_object": gzip.compress(text.encode())}),
        (None, UNREADABLE, {"encoding": "JSONC", "large_object": b"not gzip"}),
        (None, plain, {"large_object": text.encode()}),
        (json.dumps(partly, default=str).replace('"170.50"', "170.50"), partly, {}),
    ]
    return stored[number % len(stored)]
