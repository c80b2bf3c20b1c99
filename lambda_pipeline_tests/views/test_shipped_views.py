"""The seven views of `sql/view_definitions`: their shape, their rows over small records, and known counts."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.database import Connection
from lambda_pipeline.operations.view_tests import run_examples
from lambda_pipeline.settings import load_settings
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.views import View, load_views

NAMES = (
    "condition_diagnoses", "condition_simple", "medication_requests", "observation_labs", "patient_demographics",
    "patient_simple", "procedure_history",
)  # fmt: skip
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
SUBJECT = {"subject": {"reference": "Patient/p"}, "encounter": {"reference": "Encounter/e"}}
Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def views() -> dict[str, View]:
    return {view.name: view for view in load_views(load_settings().view_definitions)}


def test_examples_beside_the_shipped_views_hold(views: dict[str, View], connection: Connection) -> None:
    outcomes = run_examples(connection, list(views.values()))
    assert {outcome.view for outcome in outcomes} == {"condition_simple", "patient_demographics"}
    assert not [str(outcome) for outcome in outcomes if not outcome.passed]


@pytest.fixture
def rows(views: dict[str, View], connection: Connection) -> Rows:
    """`rows(view, body...)`: the view's rows over resources `r0`, `r1` ... with these bodies."""

    def run(name: str, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
        view = views[name]
        documents = [
            json.dumps({"resourceType": view.resource, "id": f"r{index}", **body}) for index, body in enumerate(bodies)
        ]
        cursor = connection.execute(view.select(documents_relation(view.resource)), {"documents": documents})
        names = [item.name for item in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    return run


def concept(*codings: tuple[str, str], text: str | None = None) -> dict[str, Any]:
    listed = [{"system": system, "code": code, "display": f"display of {code}"} for system, code in codings]
    return {"coding": listed} | ({"text": text} if text else {})


def test_the_folder_holds_the_seven_views(views: dict[str, View]) -> None:
    assert tuple(sorted(views)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_shareable_and_documented(views: dict[str, View], name: str) -> None:
    view = views[name]
    assert {"url", "name", "status", "fhirVersion", "resource"} <= set(view.definition)
    assert view.description
    assert all(column.fhir_type for column in view.columns)
    assert not any("join(" in column.path or "Boundary(" in column.path for column in view.columns)
    assert not view.complete_body
    indexed = {column.name for column in view.columns if column.indexed}
    assert "patient_id" in indexed
    assert view.columns[0].name == "id"


@pytest.mark.parametrize(
    ("body", "deceased", "deceased_at"),
    [
        ({}, False, None),
        ({"deceasedBoolean": False}, False, None),
        ({"deceasedBoolean": True}, True, None),
        ({"deceasedDateTime": "2020-03"}, True, "2020-03"),
    ],
)
def test_a_patient_is_dead_by_flag_or_by_time(
    rows: Rows, body: dict[str, Any], deceased: bool, deceased_at: str | None
) -> None:
    (row,) = rows("patient_demographics", body)
    assert (row["deceased"], row["deceased_at"]) == (deceased, deceased_at)
    assert rows("patient_simple", body)[0]["deceased"] is deceased


def test_a_patient_is_one_row_whatever_is_missing_or_repeated(rows: Rows) -> None:
    full = {
        "gender": "male", "birthDate": "1970-06",
        "name": [{"use": "old", "family": "O"}, {"use": "official", "family": "A", "given": ["B", "C"]},
                 {"use": "official", "family": "Z"}],
        "telecom": [{"system": "email", "value": "a@example.org"}, {"system": "phone", "value": "1"},
                    {"system": "phone", "value": "2"}],
        "address": [{"use": "work", "city": "W"},
                    {"use": "home", "line": ["l1", "l2"], "city": "H", "postalCode": "01"}, {"city": "X"}],
    }  # fmt: skip
    first, second, third = rows("patient_demographics", full, {}, {"name": [{"use": "nickname"}], "address": []})
    assert first["_id"] == first["id"] == first["patient_id"] == "r0"
    assert (first["family"], first["given"], first["given_names"]) == ("A", "B", ["B", "C"])
    assert (first["phone"], first["email"], first["birth_date"]) == ("1", "a@example.org", "1970-06")
    assert (first["address_line"], first["address_line_2"], first["city"], first["postal_code"]) == (
        "l1", "l2", "H", "01",
    )  # fmt: skip
    for row in (second, third):
        assert (row["family"], row["phone"], row["email"], row["city"]) == (None, None, None, None)
    simple = rows("patient_simple", full, {})
    assert [(row["family"], row["birth_date"]) for row in simple] == [("O", "1970-06"), (None, None)]


def test_conditions_have_one_row_or_one_row_per_coding(rows: Rows) -> None:
    both = {
        **SUBJECT, "code": concept((SNOMED, "44054006"), (ICD10CM, "E11.9"), text="Diabetes"),
        "clinicalStatus": concept(("http://terminology.hl7.org/CodeSystem/condition-clinical", "active")),
        "verificationStatus": concept(("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed")),
        "onsetAge": {"value": 50, "unit": "a"}, "abatementPeriod": {"start": "2020", "end": "2021"},
        "recordedDate": "2019-01",
    }  # fmt: skip
    bare = {"subject": {"reference": "http://elsewhere/Patient/p"}}
    simple = rows("condition_simple", both, bare)
    assert [(row["snomed_code"], row["icd10_code"], row["code_text"]) for row in simple] == [
        ("44054006", "E11.9", "Diabetes"), (None, None, None),
    ]  # fmt: skip
    assert (simple[0]["patient_id"], simple[0]["patient_ref"], simple[0]["encounter_id"]) == ("p", "Patient/p", "e")
    assert (simple[1]["patient_id"], simple[1]["patient_ref"]) == (None, "http://elsewhere/Patient/p")
    assert (simple[0]["clinical_status"], simple[0]["verification_status"]) == ("active", "confirmed")
    assert (simple[0]["onset_age"], simple[0]["abatement_end"], simple[0]["recorded_date"]) == (50, "2021", "2019-01")
    diagnoses = rows("condition_diagnoses", both, bare)
    assert [(row["_id"], row["coding_index"], row["system"], row["code"]) for row in diagnoses] == [
        ("r0", 0, SNOMED, "44054006"), ("r0", 1, ICD10CM, "E11.9"), ("r1", 0, None, None),
    ]  # fmt: skip


def test_labs_are_laboratory_and_final_in_some_sense(rows: Rows) -> None:
    def lab(status: str, *categories: str, **more: Any) -> dict[str, Any]:
        listed = [concept(("http://terminology.hl7.org/CodeSystem/observation-category", item)) for item in categories]
        return {**SUBJECT, "status": status, "category": listed, "code": concept((LOINC, "4548-4")), **more}

    kept = rows(
        "observation_labs",
        lab("final", "laboratory", valueQuantity={"value": 6.5, "unit": "%", "code": "%"},
            referenceRange=[{"low": {"value": 4}, "high": {"value": 6}}], interpretation=[concept(("x", "H"))]),
        lab("amended", "exam", "laboratory", valueCodeableConcept=concept(("s", "c"), text="T")),
        lab("corrected", "laboratory", valueString="s", effectivePeriod={"start": "2020"}),
        lab("preliminary", "laboratory"), lab("entered-in-error", "laboratory"), lab("final", "vital-signs"),
        {**SUBJECT, "status": "final", "code": concept((LOINC, "1"))},
    )  # fmt: skip
    assert [(row["_id"], row["status"], row["loinc_code"]) for row in kept] == [
        ("r0", "final", "4548-4"), ("r1", "amended", "4548-4"), ("r2", "corrected", "4548-4"),
    ]  # fmt: skip
    first, second, third = kept
    assert (first["value_quantity"], first["value_unit_code"], first["interpretation"]) == (Decimal("6.5"), "%", "H")
    assert (first["reference_low"], first["reference_high"]) == (4, 6)
    assert (second["value_code"], second["value_text"], second["value_quantity"]) == ("c", "T", None)
    assert (third["value_string"], third["effective_start"]) == ("s", "2020")


def test_medications_and_procedures(rows: Rows) -> None:
    requests = rows(
        "medication_requests",
        {**SUBJECT, "status": "active", "intent": "order", "authoredOn": "2020", "dosageInstruction": [{"text": "D"}],
         "medicationCodeableConcept": concept(("other", "x"), (RXNORM, "860975")), "requester": {"reference": "X/1"}},
        {**SUBJECT, "status": "stopped", "intent": "plan", "medicationReference": {"reference": "Medication/m"}},
    )  # fmt: skip
    assert [(row["rxnorm_code"], row["medication_id"], row["dosage_text"]) for row in requests] == [
        ("860975", None, "D"), (None, "m", None),
    ]  # fmt: skip
    procedures = rows(
        "procedure_history",
        {**SUBJECT, "status": "completed", "code": concept((SNOMED, "1")), "performedPeriod": {"start": "2020"}},
        {**SUBJECT, "status": "completed", "performedDateTime": "2021-02"},
    )
    assert [(row["snomed_code"], row["performed_start"], row["performed_date_time"]) for row in procedures] == [
        ("1", "2020", None), (None, None, "2021-02"),
    ]  # fmt: skip


def synthea(shared: Path, resource: str) -> list[str]:
    with gzip.open(shared / "data" / "synthea" / f"{resource}.ndjson.gz", "rt", encoding="utf-8") as lines:
        return [line for line in lines if line.strip()]


@pytest.fixture(scope="module")
def tables(shared: Path, views: dict[str, View], connection: Connection) -> Connection:
    """The seven views over the Synthea sample, as temporary tables."""
    for view in views.values():
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE TEMP TABLE "{view.name}" AS {_empty(view)}')
            statement = view.select(documents_relation(view.resource)).as_string(connection)
            cursor.execute(f'INSERT INTO "{view.name}" {statement}', {"documents": synthea(shared, view.resource)})
    return connection


def _empty(view: View) -> str:
    columns = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in view.columns)
    return f"SELECT 0 AS _partition, '' AS _id, 0::bigint AS _version, {columns} LIMIT 0"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (("SELECT count(*), count(*) FILTER (WHERE gender = 'male'), count(*) FILTER (WHERE deceased)"
         " FROM patient_demographics"), (467, 244, 93)),
        (("SELECT count(DISTINCT patient_id), count(DISTINCT patient_id) FILTER (WHERE gender = 'male')"
         " FROM condition_simple JOIN patient_simple USING (patient_id)"
         " WHERE code_text ILIKE '%diabetes%'"), (159, 85)),
        (("SELECT count(DISTINCT patient_id), count(DISTINCT patient_id) FILTER (WHERE gender = 'male'),"
         " count(DISTINCT patient_id) FILTER (WHERE gender = 'male' AND patient_id NOT IN"
         " (SELECT patient_id FROM condition_diagnoses WHERE code = '38341003'))"
         " FROM condition_diagnoses JOIN patient_simple USING (patient_id) WHERE code = '44054006'"), (30, 13, 5)),
        (("SELECT count(*), count(DISTINCT patient_id) FILTER (WHERE value_quantity > 6.5)"
         " FROM observation_labs WHERE loinc_code = '4548-4'"), (1393, 15)),
        ("SELECT count(*) FROM observation_labs", (42439,)),
        ("SELECT count(*) FROM medication_requests WHERE status = 'active'", (903,)),
        ("SELECT count(*) FROM procedure_history", (11054,)),
    ],
)  # fmt: skip
def test_known_counts_over_the_synthea_sample(tables: Connection, question: str, expected: tuple[int, ...]) -> None:
    assert tables.execute(question.replace("%", "%%"), {}).fetchone() == expected
