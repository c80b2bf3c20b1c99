"""A first ViewDefinition of a resource type, from the element model: short, valid, and without warnings."""

import re
from collections.abc import Iterator
from typing import Any

from lambda_pipeline.errors import BadRequestError, suggest
from lambda_pipeline.views.columns import INDEX_TAG
from lambda_pipeline.views.fhir_types import R4, VERSIONS, Element, FhirVersion, is_primitive
from lambda_pipeline.views.table_limits import is_taken

MAX_COLUMNS = 14
_EVERYWHERE = frozenset(("id", "implicitRules", "language"))

Json = dict[str, Any]


def scaffold(resource_type: str, *, name: str = "", version: str = R4.name) -> Json:
    """A ViewDefinition with the key, the patient, and the first elements that fit a column.

    Args:
        resource_type: such as `Immunization`.
        name: of the view; made from the type without one.
        version: `R4`, `R4B` or `R5`.

    Raises:
        BadRequestError: the version of FHIR has no such resource type.
    """
    (fhir,) = [each for each in VERSIONS if each.name == version]
    if not fhir.is_concrete_resource(resource_type):
        close = suggest(resource_type, fhir.resource_types())
        raise BadRequestError(
            f"{resource_type} is not a resource type of {fhir}", hint=f"did you mean {close}?" if close else ""
        )
    chosen = name or _snake(resource_type)
    columns = [
        {"name": "id", "path": "getResourceKey()", "type": "id", "description": "Logical id of the resource."},
        *_patient(fhir, resource_type),
        *(column for element in fhir.elements(resource_type).values() for column in _columns(element)),
    ]
    unique = {column["name"]: column for column in reversed(columns)}
    return {
        "resourceType": "ViewDefinition",
        "name": f"{chosen}_view" if not name and is_taken(chosen) else chosen,
        "status": "draft",
        "description": f"One row per {resource_type}.",
        "fhirVersion": [fhir.number],
        "resource": resource_type,
        "select": [{"column": list(reversed(unique.values()))[:MAX_COLUMNS]}],
    }


def _patient(fhir: FhirVersion, resource_type: str) -> Iterator[Json]:
    elements = fhir.elements(resource_type)
    for name in ("patient", "subject"):
        element = elements.get(name)
        if element and element.types == ("Reference",) and not element.many:
            yield {
                "name": "patient_id",
                "path": f"{name}.getReferenceKey(Patient)",
                "type": "id",
                "description": "Logical id of the patient.",
                "tag": [{"name": INDEX_TAG, "value": "true"}],
            }
            return


def _columns(element: Element) -> Iterator[Json]:
    """The columns of one element: a primitive value, the first code, the parts of a quantity or period."""
    if element.name in _EVERYWHERE:
        return
    name = _snake(element.name)
    one = f"{element.name}.first()" if element.many else element.name
    for type_name in element.types:
        path = f"{element.name}.ofType({type_name})" if element.choice else one
        typed = f"{name}_{_snake(type_name)}" if element.choice else name
        if is_primitive(type_name) and not element.many and type_name != "base64Binary":
            yield {"name": typed, "path": path, "type": type_name}
        elif type_name == "CodeableConcept":
            code = typed if typed.endswith("code") else f"{name}_code"
            yield {"name": code, "path": f"{path}.coding.first().code", "type": "code"}
        elif type_name == "Quantity" and not element.many:
            yield {"name": f"{name}_value", "path": f"{path}.value", "type": "decimal"}
            yield {"name": f"{name}_unit", "path": f"{path}.unit", "type": "string"}
        elif type_name == "Period" and not element.many:
            yield {"name": f"{name}_start", "path": f"{path}.start", "type": "dateTime"}
            yield {"name": f"{name}_end", "path": f"{path}.end", "type": "dateTime"}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
