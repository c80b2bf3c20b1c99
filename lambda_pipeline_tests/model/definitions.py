"""The views of the model: small ones, each with something that is easily got wrong, and some in two definitions."""

from typing import Any

Definition = dict[str, Any]


def _view(name: str, resource: str, *select: Definition, where: str = "") -> Definition:
    return {
        "resourceType": "ViewDefinition",
        "name": name,
        "status": "active",
        "resource": resource,
        "where": [{"path": where}] if where else [],
        "select": list(select),
    }


def _columns(**columns: tuple[str, str]) -> Definition:
    return {"column": [{"name": name, "path": path, "type": kind} for name, (path, kind) in columns.items()]}


_TAGS = {"name": "tags", "path": "meta.tag.code", "type": "code", "collection": True}

PEOPLE = _view(
    "people",
    "Patient",
    _columns(
        id=("getResourceKey()", "id"),
        gender=("gender", "code"),
        birth_date=("birthDate", "date"),
        family=("name.family.first()", "string"),
    ),
    where="active = true",
)
EVERYBODY = _view(
    "people",
    "Patient",
    _columns(id=("getResourceKey()", "id"), gender=("gender", "code"), active=("active", "boolean")),
)
GIVEN_NAMES = _view(
    "given_names",
    "Patient",
    _columns(patient_id=("getResourceKey()", "id")),
    {"forEach": "name.given", **_columns(given=("$this", "string"))},
)
NAMES = _view(
    "given_names",
    "Patient",
    _columns(patient_id=("getResourceKey()", "id")),
    {"forEachOrNull": "name", **_columns(family=("family", "string"), given=("given.first()", "string"))},
)
DIAGNOSES = _view(
    "diagnoses",
    "Condition",
    _columns(
        id=("getResourceKey()", "id"),
        patient_id=("subject.getReferenceKey(Patient)", "id"),
        code=("code.coding.code.first()", "code"),
    ),
    where="verificationStatus.coding.where(code = 'entered-in-error').empty()",
)
HEIGHTS = _view(
    "heights",
    "Observation",
    {
        "column": [
            *_columns(
                id=("getResourceKey()", "id"),
                patient_id=("subject.getReferenceKey(Patient)", "id"),
                value=("value.ofType(Quantity).value", "decimal"),
            )["column"],
            _TAGS,
        ]
    },
)
BARE_HEIGHTS = _view(
    "heights",
    "Observation",
    _columns(
        id=("getResourceKey()", "id"),
        patient_id=("subject.getReferenceKey(Patient)", "id"),
        value=("value.ofType(Quantity).value", "decimal"),
    ),
)
VERSIONS = _view(
    "versions",
    "Patient",
    {"column": [*_columns(id=("getResourceKey()", "id"), version=("meta.versionId", "id"))["column"], _TAGS]},
)

DEPLOYMENTS: tuple[dict[str, Definition], ...] = (
    {"people": PEOPLE, "given_names": GIVEN_NAMES, "diagnoses": DIAGNOSES, "heights": HEIGHTS},
    {"people": EVERYBODY, "given_names": GIVEN_NAMES, "diagnoses": DIAGNOSES, "heights": HEIGHTS},
    {"people": PEOPLE, "diagnoses": DIAGNOSES, "heights": HEIGHTS},
    {"people": PEOPLE, "given_names": NAMES, "diagnoses": DIAGNOSES, "heights": BARE_HEIGHTS, "versions": VERSIONS},
    {"people": PEOPLE, "given_names": GIVEN_NAMES, "heights": HEIGHTS},
)
"""What may be deployed together, by view name; the first one is where every history begins."""

DIABETES = "44054006"
COHORT_VIEWS = frozenset({"people", "diagnoses", "heights"})
COHORT = """
SELECT DISTINCT p.id
  FROM people p
  JOIN diagnoses d ON d.patient_id = p.id
  JOIN heights h ON h.patient_id = p.id
 WHERE p.gender = 'male' AND d.code = '44054006' AND h.value >= 150
"""
