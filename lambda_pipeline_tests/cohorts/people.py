"""A small world of persons and results, with everything that makes a comparison hard, and views over it."""

from random import Random
from typing import Any

Json = dict[str, Any]

PEOPLE: Json = {
    "resourceType": "ViewDefinition", "name": "people", "status": "active", "resource": "Patient",
    "select": [{"column": [
        {"name": "pid", "path": "getResourceKey()", "type": "id"},
        {"name": "sex", "path": "gender", "type": "code"},
        {"name": "born", "path": "birthDate", "type": "date"},
        {"name": "active", "path": "active", "type": "boolean"},
        {"name": "married", "path": "multipleBirth.ofType(integer)", "type": "integer"},
        {"name": "names", "path": "name.given", "type": "string", "collection": True},
    ]}],
}  # fmt: skip
RESULTS: Json = {
    "resourceType": "ViewDefinition", "name": "results", "status": "active", "resource": "Observation",
    "select": [{"column": [
        {"name": "patient_id", "path": "subject.getReferenceKey(Patient)", "type": "id"},
        {"name": "code", "path": "code.coding.first().code", "type": "code"},
        {"name": "system", "path": "code.coding.first().system", "type": "uri"},
        {"name": "at", "path": "effective.ofType(dateTime)", "type": "dateTime"},
        {"name": "issued", "path": "issued", "type": "instant"},
        {"name": "amount", "path": "value.ofType(Quantity).value", "type": "decimal"},
        {"name": "unit", "path": "value.ofType(Quantity).code", "type": "code"},
        {"name": "note", "path": "note.first().text", "type": "string"},
    ]}],
}  # fmt: skip
ILLNESSES: Json = {
    "resourceType": "ViewDefinition", "name": "illnesses", "status": "active", "resource": "Condition",
    "select": [
        {"column": [
            {"name": "whose", "path": "subject.getReferenceKey(Patient)", "type": "id"},
            {"name": "onset", "path": "onset.ofType(dateTime)", "type": "dateTime"},
            {"name": "recorded", "path": "recordedDate", "type": "dateTime"},
        ]},
        {"forEachOrNull": "code.coding", "column": [
            {"name": "code", "path": "code", "type": "code"}, {"name": "system", "path": "system", "type": "uri"},
        ]},
    ],
}  # fmt: skip
VIEWS = (PEOPLE, RESULTS, ILLNESSES)

SYSTEMS = ("urn:one", "urn:two")
CODES = ("A", "B", "C", "D")
UNITS = ("%", "mmol/mol", "g")
WORDS = ("diabetes", "Diabetes", "diabetes_x", "type 2 DIABETES mellitus", "no (known) illness", "100% sure", "")
SEXES = ("male", "female", "other", "unknown")


def fhir_date(rng: Random, first: int, last: int, *, moments: bool = True) -> str:
    """A date of any precision between two years."""
    year, month, day = rng.randint(first, last), rng.randint(1, 12), rng.choice((1, 2, 14, 27, 28))
    if (rng.random() < 0.1 and year % 4 == 0) or year == 2000:
        month, day = rng.choice(((2, 29), (2, 28), (3, 1), (month, day)))
    form = rng.random()
    if form < 0.12:
        return f"{year}"
    if form < 0.3:
        return f"{year}-{month:02}"
    if form < 0.8 or not moments:
        return f"{year}-{month:02}-{day:02}"
    clock = rng.choice(("00:00:00Z", "23:59:59.999-11:00", "12:30:00+02:00"))
    return f"{year}-{month:02}-{day:02}T{clock}"


def person(rng: Random, number: int) -> Json:
    resource: Json = {"resourceType": "Patient", "id": f"p{number}"}
    if rng.random() < 0.9:
        resource["gender"] = rng.choice(SEXES)
    if rng.random() < 0.9:
        resource["birthDate"] = fhir_date(rng, 1980, 2000, moments=False)
    if rng.random() < 0.7:
        resource["active"] = rng.random() < 0.5
    if rng.random() < 0.5:
        resource["multipleBirthInteger"] = rng.randint(1, 4)
    if rng.random() < 0.5:
        resource["name"] = [{"given": rng.sample(["Ann", "Bo", "Cy"], rng.randint(1, 2))}]
    return resource


def subject(rng: Random, persons: int) -> Json:
    if rng.random() < 0.03:
        return {}
    # Some refer to a person who does not exist.
    return {"subject": {"reference": f"Patient/p{rng.randint(1, persons + 2)}"}}


def result(rng: Random, number: int, persons: int) -> Json:
    resource: Json = {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", **subject(rng, persons),
        "code": {"coding": [{"system": rng.choice(SYSTEMS), "code": rng.choice(CODES)}]},
    }  # fmt: skip
    if rng.random() < 0.9:
        resource["effectiveDateTime"] = fhir_date(rng, 1998, 2002)
    if rng.random() < 0.5:
        resource["issued"] = f"{rng.randint(1998, 2002)}-0{rng.randint(1, 9)}-28T23:30:00.000-05:00"
    if rng.random() < 0.85:
        amount: Json = {"value": rng.choice((0, 1, 1.5, 2.50, 3, 5, 6.5, 7))}
        if rng.random() < 0.85:
            amount["code"] = rng.choice(UNITS)
        resource["valueQuantity"] = amount
    if note := rng.choice((None, *WORDS)):
        resource["note"] = [{"text": note}]
    return resource


def illness(rng: Random, number: int, persons: int) -> Json:
    codings = [{"system": rng.choice(SYSTEMS), "code": rng.choice(CODES)} for _ in range(rng.choice((0, 1, 1, 2)))]
    resource: Json = {"resourceType": "Condition", "id": f"c{number}", **subject(rng, persons)}
    if codings:
        resource["code"] = {"coding": codings}
    if rng.random() < 0.6:
        resource["onsetDateTime"] = fhir_date(rng, 1998, 2002)
    if rng.random() < 0.8:
        resource["recordedDate"] = fhir_date(rng, 1999, 2002)
    return resource


def resources(rng: Random, persons: int = 28) -> list[Json]:
    """Persons, results and illnesses; some ids come twice, so that the later ones are updates."""
    return [
        *(person(rng, number) for number in range(1, persons + 1)),
        *(result(rng, number, persons) for number in range(1, persons * 4)),
        *(illness(rng, number, persons) for number in range(1, persons * 2)),
    ]


def changes(rng: Random, persons: int = 28) -> list[Json]:
    """Newer versions of some of them, and a few that are new."""
    return [
        *(person(rng, rng.randint(1, persons + 1)) for _ in range(8)),
        *(result(rng, rng.randint(1, persons * 4 + 20), persons) for _ in range(30)),
        *(illness(rng, rng.randint(1, persons * 2 + 10), persons) for _ in range(20)),
    ]
