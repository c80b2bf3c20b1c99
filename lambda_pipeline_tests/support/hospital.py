"""Resources of a small hospital."""

from typing import Any


def patient(logical_id: str, gender: str = "male", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": logical_id, "gender": gender, **more}


def condition(logical_id: str, patient_id: str, code: str = "44054006", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": logical_id,
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
        **more,
    }


def height(logical_id: str, patient_id: str, value: Any = 170, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": logical_id,
        "status": "final",
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
        "valueQuantity": {"value": value, "unit": "cm"},
        **more,
    }


SNOMED = "http://snomed.info/sct"
DIABETES = "44054006"


def named_patient(logical_id: str, gender: str, born: str = "1970-01-01", **more: Any) -> dict[str, Any]:
    """A patient with a name that needs quoting in CSV."""
    name = [{"use": "official", "family": f"O'{logical_id}, {logical_id}", "given": [logical_id]}]
    return {"resourceType": "Patient", "id": logical_id, "gender": gender, "birthDate": born, "name": name, **more}


def confirmed_condition(logical_id: str, patient_id: str, code: str = DIABETES, **more: Any) -> dict[str, Any]:
    """A confirmed condition."""
    return {
        "resourceType": "Condition",
        "id": logical_id,
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": SNOMED, "code": code}], "text": "Diabetes"},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        **more,
    }
