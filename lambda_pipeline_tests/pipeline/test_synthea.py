"""Numbers that anybody can check, over 99,609 resources of real Synthea output."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.serving import Filter, Mode, Operator, Serving
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.support.servers import beside

PATIENTS_BY_GENDER = """
SELECT count(*) FILTER (WHERE p.gender = 'male') AS male, count(*) AS n
  FROM patient_simple p WHERE p.patient_id IN (SELECT c.patient_id FROM condition_simple c WHERE {})
"""
TEXT_DIABETES = PATIENTS_BY_GENDER.format("c.code_text ILIKE '%diabetes%'")
SNOMED = PATIENTS_BY_GENDER.format("c.snomed_code = '44054006'")
WITHOUT_HYPERTENSION = """
SELECT count(*) AS n FROM patient_simple p
 WHERE p.gender = 'male'
   AND EXISTS (SELECT FROM condition_simple c WHERE c.patient_id = p.patient_id AND c.snomed_code = '44054006')
   AND NOT EXISTS (SELECT FROM condition_simple c WHERE c.patient_id = p.patient_id AND c.snomed_code = '38341003')
"""
HBA1C = """
SELECT count(*) AS n, count(DISTINCT patient_id) FILTER (WHERE value_quantity > 6.5) AS high
  FROM observation_labs WHERE loinc_code = '4548-4'
"""


class Hospital:
    """The seven views over Synthea's patients."""

    def __init__(self, url: str, redis_url: str) -> None:
        self.settings = Settings()
        self.database = Database(url)
        self.demo = DemoHapi(self.database)
        self.views = load_views(self.settings.view_definitions)
        self.overlay = Overlay(redis_url, self.settings)
        self.poller = Poller(self.database, self.overlay, self.views, self.settings)
        self.serving = Serving(self.database, self.overlay, self.views, self.settings)

    def numbers(self, mode: Mode) -> dict[str, int | tuple[int, ...]]:
        def count(view: str, *where: Filter) -> int:
            return self.serving.query(view, where=where, limit=0, mode=mode).row_count

        def one(statement: str) -> tuple[int, ...]:
            return tuple(map(int, self.serving.select(statement, mode=mode).frame.iloc[0]))

        return {
            "patients": count("patient_demographics"),
            "male": count("patient_demographics", Filter("gender", Operator.EQ, "male")),
            "deceased": count("patient_demographics", Filter("deceased", Operator.EQ, "true")),
            "diabetes in the text: male, all": one(TEXT_DIABETES),
            "44054006: male, all": one(SNOMED),
            "of these males without 38341003": one(WITHOUT_HYPERTENSION),
            "4548-4: rows, patients above 6.5": one(HBA1C),
            "laboratory observations": count("observation_labs"),
            "active MedicationRequests": count("medication_requests", Filter("status", Operator.EQ, "active")),
            "procedures": count("procedure_history"),
        }


BEFORE = {
    "patients": 467,
    "male": 244,
    "deceased": 93,
    "diabetes in the text: male, all": (85, 159),
    "44054006: male, all": (13, 30),
    "of these males without 38341003": (5,),
    "4548-4: rows, patients above 6.5": (1_393, 15),
    "laboratory observations": 42_439,
    "active MedicationRequests": 903,
    "procedures": 11_054,
}


@pytest.fixture(scope="module")
def loaded(shared: Path, postgres_url: str) -> Iterator[str]:
    """A database with all of it, made once."""
    database = Database(postgres_url)
    with database.connect() as connection:
        connection.execute("CREATE DATABASE synthea")
    url = beside(postgres_url, "synthea")
    source = Database(url)
    demo = DemoHapi(source)
    demo.install()
    load_files(demo, sorted((shared / "data" / "synthea").glob("*.ndjson.gz")))
    source.close()
    yield url
    with database.connect() as connection:
        connection.execute("DROP DATABASE synthea WITH (FORCE)")
    database.close()


@pytest.mark.timeout(900)
def test_the_numbers_come_out_in_every_mode_before_and_after_a_day(loaded: str, redis_url: str) -> None:
    hospital = Hospital(loaded, redis_url)
    assert hospital.numbers("source") == BEFORE
    refresh(hospital.database, hospital.views, hospital.settings)
    hospital.poller.poll()
    assert hospital.numbers("batch") == BEFORE
    assert hospital.numbers("live") == BEFORE
    after = a_day(hospital)
    hospital.poller.poll()
    assert hospital.numbers("batch") == BEFORE
    assert hospital.numbers("live") == after
    assert hospital.numbers("source") == after
    refresh(hospital.database, hospital.views, hospital.settings)
    assert hospital.numbers("batch") == after
    assert hospital.numbers("live") == after
    hospital.serving.close()


def a_day(hospital: Hospital) -> dict[str, int | tuple[int, ...]]:
    """A new male patient with diabetes and a high HbA1c, a diabetic man corrected to female, a procedure deleted."""
    demo = hospital.demo
    males = hospital.serving.select(
        "SELECT p.patient_id FROM patient_simple p JOIN condition_simple c ON c.patient_id = p.patient_id"
        " WHERE p.gender = 'male' AND c.snomed_code = '44054006' AND EXISTS"
        " (SELECT FROM condition_simple h WHERE h.patient_id = p.patient_id AND h.snomed_code = '38341003') ORDER BY 1"
    )
    corrected = males.frame["patient_id"].iloc[0]
    procedure = hospital.serving.query("procedure_history", columns=["id"], limit=1).frame["id"].iloc[0]
    demo.patch("Patient", corrected, [{"op": "replace", "path": "/gender", "value": "female"}])
    demo.delete("Procedure", procedure)
    demo.update({"resourceType": "Patient", "id": "new-1", "gender": "male", "birthDate": "1960"})
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "44054006"}], "text": "Diabetes"}
    subject = {"reference": "Patient/new-1"}
    demo.update({"resourceType": "Condition", "id": "new-2", "subject": subject, "code": code})
    lab = {
        "resourceType": "Observation",
        "id": "new-3",
        "status": "final",
        "subject": subject,
        "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
        "valueQuantity": {"value": 7.1, "unit": "%", "code": "%"},
    }
    category = "http://terminology.hl7.org/CodeSystem/observation-category"
    demo.update({**lab, "category": [{"coding": [{"system": category, "code": "laboratory"}]}]})
    return {
        **BEFORE,
        "patients": 468,
        "diabetes in the text: male, all": (85, 160),
        "44054006: male, all": (13, 31),
        "of these males without 38341003": (6,),
        "4548-4: rows, patients above 6.5": (1_394, 16),
        "laboratory observations": 42_440,
        "procedures": 11_053,
    }
