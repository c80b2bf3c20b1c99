"""Every primitive element that a version of FHIR has: a resource with it gives its value through a compiled view."""

import base64
import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.views import fhir_types
from lambda_pipeline.views.fhir_types import Element, FhirVersion
from lambda_pipeline_tests.support.cases import RunView

COLUMNS = 250
"""Columns of one view; a row must fit a page."""

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_NOWHERE = frozenset(("BackboneElement", "Element", "MoneyQuantity", "SimpleQuantity"))
UNUSED = {
    "R4": _NOWHERE,
    "R4B": _NOWHERE | {"Population"},
    "R5": _NOWHERE | {"Base", "BackboneType", "DataType", "PrimitiveType", "Contributor"},
}
"""Types that no element of a resource has."""


@dataclass(frozen=True)
class Step:
    """One element on the way to a value, as one of its types."""

    element: Element
    type: str

    @property
    def path(self) -> str:
        return f"{self.element.name}.ofType({self.type})" if len(self.element.types) > 1 else self.element.name


def steps_from(version: FhirVersion, type_name: str) -> Iterator[Step]:
    for element in version.elements(type_name).values():
        for kind in element.types:
            if kind not in fhir_types.ABSTRACT_RESOURCES:
                yield Step(element, kind)


def ways(version: FhirVersion) -> dict[str, tuple[str, tuple[Step, ...]]]:
    """A shortest way from a resource type to each type of values."""
    found: dict[str, tuple[str, tuple[Step, ...]]] = {name: (name, ()) for name in version.resource_types()}
    waiting = deque(found)
    while waiting:
        name = waiting.popleft()
        resource, steps = found[name]
        for step in steps_from(version, name):
            if not fhir_types.is_primitive(step.type) and step.type not in found:
                found[step.type] = (resource, (*steps, step))
                waiting.append(step.type)
    return found


def sample(kind: str, number: int) -> tuple[Any, Any]:  # noqa: PLR0911 (one case per JSON type)
    """A value of a primitive type that no other element has: in JSON, and as a column gives it."""
    moment = EPOCH + timedelta(minutes=number)
    match kind:
        case "boolean":
            return True, True
        case "decimal":
            value = Decimal(number) / 100
            return value, value
        case "integer64":
            return str(2**53 + number), 2**53 + number
        case "integer" | "positiveInt" | "unsignedInt":
            return number, number
        case "base64Binary":
            data = f"data {number}".encode()
            return base64.b64encode(data).decode(), data
        case "instant":
            return moment.isoformat(), moment
        case "dateTime":
            return moment.isoformat(), moment.isoformat()
        case "date":
            day = (EPOCH + timedelta(days=number % 2_000)).date().isoformat()
            return day, day
        case "time":
            return moment.time().isoformat(), moment.time().isoformat()
    return f"{kind}-{number}", f"{kind}-{number}"


def put(body: dict[str, Any], steps: tuple[Step, ...], value: Any) -> None:
    """Put a value where the steps lead; a list has one element."""
    at: Any = body
    for position, step in enumerate(steps):
        is_last = position == len(steps) - 1
        key = step.element.key(step.type)
        held = at.setdefault(key, [{}] if step.element.many else {})
        if is_last:
            at[key] = [value] if step.element.many else value
        else:
            at = held[0] if step.element.many else held


def primitives_below(version: FhirVersion) -> dict[str, list[tuple[tuple[Step, ...], str]]]:
    """The primitive elements of every type that is reached, by resource type."""
    found: dict[str, list[tuple[tuple[Step, ...], str]]] = {}
    for name, (resource, steps) in ways(version).items():
        for step in steps_from(version, name):
            if fhir_types.is_primitive(step.type):
                found.setdefault(resource, []).append(((*steps, step), step.type))
    return found


def views_of(
    version: FhirVersion, resource: str, elements: list[tuple[tuple[Step, ...], str]], first: int
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], dict[str, Any]]]:
    """Views over some elements each, with a resource that has them and the row to expect."""
    for start in range(0, len(elements), COLUMNS):
        body: dict[str, Any] = {"resourceType": resource, "id": "r"}
        columns, row = [], {}
        for number, (steps, kind) in enumerate(elements[start : start + COLUMNS], start=first + start):
            in_json, in_column = sample(kind, number)
            if steps[0].path == "id":
                in_json = in_column = "r"
            put(body, steps, in_json)
            columns.append({"name": f"c{number}", "path": ".".join(step.path for step in steps)})
            row[f"c{number}"] = in_column
        yield {"fhirVersion": [version.number], "resource": resource, "select": [{"column": columns}]}, body, row


@pytest.mark.parametrize("version", fhir_types.VERSIONS, ids=str)
def test_a_resource_with_the_element_yields_its_value(run_view: RunView, version: FhirVersion) -> None:
    tried = 0
    for resource, elements in primitives_below(version).items():
        for view, body, expected in views_of(version, resource, elements, tried):
            assert run_view(view, [body]) == [expected]
        tried += len(elements)
    assert tried > 3_000


@pytest.mark.parametrize("version", fhir_types.VERSIONS, ids=str)
def test_every_type_is_below_a_resource(version: FhirVersion) -> None:
    types = {name for name in version.type_names() if not fhir_types.is_primitive(name)}
    assert types - ways(version).keys() - fhir_types.ABSTRACT_RESOURCES == UNUSED[version.name]


def test_the_table_of_r4_is_the_one_that_published_views_were_compiled_with() -> None:
    table = Path(fhir_types.__file__).parent / "element_model" / "r4.jsonl"
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    assert digest == "aeb1b3dca7bad7be4958d5ac90b3bcfa4f1c7902f5d960a44e1a3cad799bc04a"
