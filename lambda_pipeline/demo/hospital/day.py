"""What happens in the source after the night: one day as a story, and changes without end."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from threading import Event
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.outcome import RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital import records
from lambda_pipeline.demo.hospital.catalogue import DIAGNOSES, HBA1C, LABORATORY, TYPE_2_DIABETES
from lambda_pipeline.demo.hospital.cohort import (
    current,
    delete_patient,
    deleted_patients,
    patients_with_diabetes,
    undelete_patient,
    verification,
)
from lambda_pipeline.demo.hospital.population import TODAY, laboratory_value
from lambda_pipeline.demo.hospital.records import Json
from lambda_pipeline.errors import ConfigurationError

LABORATORY_RESULTS = 300
SHIFT = timedelta(hours=10)
"""The day's events lie within so much of `TODAY`."""


def a_day(demo: DemoHapi, seed: int = 1) -> list[str]:
    """Let a day happen: of the men with diabetes, two come, three go, one comes back.

    Two men with diabetes are registered, a third is corrected to be a woman, the diagnosis of a fourth was an error, a
    fifth is deleted with his record, and the patient deleted first is brought back. Others get a few hundred results.

    Args:
        demo: a source with the synthetic population, where at least one man with diabetes was deleted.
        seed: which patients it happens to; the same for the same source and seed.

    Returns:
        What happened, one sentence each.

    Raises:
        ConfigurationError: the source has not enough men with diabetes, or nobody to bring back.
    """
    rng = Random(seed)  # noqa: S311 (nothing is kept secret by it)
    men = patients_with_diabetes(demo, gender="male")
    deleted = deleted_patients(demo)
    certain = [patient for patient, conditions in men.items() if len(conditions) == 1]
    if len(certain) < 3 or not deleted:
        raise ConfigurationError(
            "the demo source lacks men with diabetes", hint="start it again with its own population"
        )
    corrected, mistaken, leaving = rng.sample(certain, 3)
    told = [_newcomer(demo, rng, f"{9_000_000 + seed * 10 + number}") for number in (1, 2)]
    demo.patch("Patient", corrected, [{"op": "replace", "path": "/gender", "value": "female"}])
    told.append(f"Patient/{corrected} has diabetes; the gender is corrected from male to female.")
    (condition,) = men[mistaken]
    _entered_in_error(demo, condition)
    told.append(f"Condition/{condition}, the diabetes of Patient/{mistaken}, is marked entered-in-error.")
    count = delete_patient(demo, leaving)
    told.append(
        f"Patient/{leaving}, a man with diabetes, is deleted, with the {count - 1} other resources of his record."
    )
    count = undelete_patient(demo, deleted[0])
    told.append(f"Patient/{deleted[0]}, deleted before, is back, with the {count - 1} other resources of the record.")
    _results(demo, rng)
    told.append(f"{LABORATORY_RESULTS} laboratory results arrive.")
    return told


def keep_changing(demo: DemoHapi, seed: int, stop: Event, per_second: float = 2.0) -> int:
    """Make plausible changes at random moments until `stop` is set; for a thread or process of its own.

    Returns:
        How many changes were made.

    Raises:
        ServerUnavailableError: the database is gone.
    """
    rng = Random(seed)  # noqa: S311 (nothing is kept secret by it)
    events, weights = zip(*EVENTS.items(), strict=True)
    made = 0
    while not stop.wait(rng.expovariate(per_second)):
        try:
            made += rng.choices(events, weights)[0](demo, rng)
        except RequestRefusedError:
            continue
    return made


def _newcomer(demo: DemoHapi, rng: Random, record_number: str) -> str:
    """Register a man and his diabetes in one transaction, under ids that the server gives."""
    born = (TODAY - timedelta(days=rng.randint(50 * 365, 75 * 365))).date()
    patient = records.patient(rng, gender="male", born=born, number=int(record_number))
    patient["name"] = patient.get("name") or [{"use": "official", "family": "Newman", "given": ["Alan"]}]
    diagnosis = records.condition(
        rng, "urn:uuid:newcomer", TYPE_2_DIABETES, _moment(rng), today=TODAY + SHIFT, born=born
    )
    diagnosis["clinicalStatus"] = records.status_concept("condition-clinical", "active")
    diagnosis["verificationStatus"] = records.status_concept("condition-ver-status", "confirmed")
    value = laboratory_value(rng, HBA1C, diabetic=True)
    result = records.laboratory(rng, "urn:uuid:newcomer", HBA1C, value, _moment(rng))
    outcomes = demo.transaction(_bundle({"urn:uuid:newcomer": patient, "": diagnosis, "urn:uuid:result": result}))
    return f"Patient/{outcomes[0].id}, a man with type 2 diabetes, is registered."


def _bundle(resources: Mapping[str, Json]) -> Json:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
            for url, resource in resources.items()
        ],
    }


def _entered_in_error(demo: DemoHapi, condition: str) -> None:
    """Mark a diagnosis; a condition entered in error has no clinical status (FHIR R4, con-5)."""
    ((body,),) = ([body] for logical_id, body in current(demo, "Condition") if logical_id == condition)
    body.pop("clinicalStatus", None)
    status = records.status_concept("condition-ver-status", "entered-in-error")
    demo.update({**body, "id": condition, "verificationStatus": status})


def _results(demo: DemoHapi, rng: Random) -> None:
    """A day of the laboratory, for patients that are alive."""
    living = [logical_id for logical_id, patient in current(demo, "Patient") if not _is_dead(patient)]
    diabetic = patients_with_diabetes(demo, gender="male") | patients_with_diabetes(demo, gender="female")
    demo.load(_result(rng, rng.choice(living), diabetic) for _ in range(LABORATORY_RESULTS))


def _result(rng: Random, patient: str, diabetic: Mapping[str, Any]) -> Json:
    measured = rng.choice(LABORATORY)
    value = laboratory_value(rng, measured, diabetic=patient in diabetic)
    return records.laboratory(rng, f"Patient/{patient}", measured, value, _moment(rng))


def _is_dead(patient: Json) -> bool:
    return "deceasedDateTime" in patient or bool(patient.get("deceasedBoolean"))


def _moment(rng: Random) -> datetime:
    return TODAY + SHIFT * rng.random()


def _one(demo: DemoHapi, rng: Random, resource_type: str) -> Json:
    """One live resource, drawn by its key: no type is read as a whole for it."""
    with demo.database.connect() as connection:
        row = connection.execute(
            "WITH bounds AS (SELECT min(res_id) low, max(res_id) high FROM hfj_resource WHERE res_type = %(type)s)"
            " SELECT r.fhir_id, v.res_text_vc FROM bounds, hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_type = %(type)s AND r.res_deleted_at IS NULL AND v.res_encoding = 'JSON'"
            "   AND r.res_id >= low + floor((high - low + 1) * %(place)s::numeric)"
            " ORDER BY r.res_id LIMIT 1",
            {"type": resource_type, "place": f"{rng.random():.9f}"},
        ).fetchone()
    if row is None:
        raise RequestRefusedError(f"there is no {resource_type}", status=404)
    return {**bodies.parse(row[1]), "id": row[0]}


def _new_result(demo: DemoHapi, rng: Random) -> int:
    patient = _one(demo, rng, "Patient")["id"]
    measured = rng.choice(LABORATORY)
    value = laboratory_value(rng, measured, diabetic=rng.random() < 0.11)
    demo.post(records.laboratory(rng, f"Patient/{patient}", measured, value, datetime.now(UTC)))
    return 1


def _amended_result(demo: DemoHapi, rng: Random) -> int:
    observation = _one(demo, rng, "Observation")
    status = "amended" if observation.get("status") == "final" else "final"
    demo.update({**observation, "status": status})
    return 1


def _withdrawn_result(demo: DemoHapi, rng: Random) -> int:
    demo.delete("Observation", _one(demo, rng, "Observation")["id"])
    return 1


def _new_diagnosis(demo: DemoHapi, rng: Random) -> int:
    patient, now = _one(demo, rng, "Patient"), datetime.now(UTC)
    born = date(int(str(patient.get("birthDate", "1970"))[:4]), 1, 1)
    subject = f"Patient/{patient['id']}"
    demo.post(records.condition(rng, subject, rng.choice(DIAGNOSES), now, today=now, born=born))
    return 1


def _diabetes_found(demo: DemoHapi, rng: Random) -> int:
    patient, now = _one(demo, rng, "Patient"), datetime.now(UTC)
    subject = f"Patient/{patient['id']}"
    demo.post(records.condition(rng, subject, TYPE_2_DIABETES, now, today=now, born=now.date()))
    return 1


def _doubted_diagnosis(demo: DemoHapi, rng: Random) -> int:
    """A diagnosis becomes an error, or an error is confirmed after all."""
    condition = _one(demo, rng, "Condition")
    wrong = verification(condition) == "entered-in-error"
    verified = records.status_concept("condition-ver-status", "confirmed" if wrong else "entered-in-error")
    condition["verificationStatus"] = verified
    condition.pop("clinicalStatus", None)
    if wrong:
        condition["clinicalStatus"] = records.status_concept("condition-clinical", "active")
    demo.update(condition)
    return 1


def _corrected_gender(demo: DemoHapi, rng: Random) -> int:
    patient = _one(demo, rng, "Patient")
    gender = "female" if patient.get("gender") == "male" else "male"
    demo.patch("Patient", patient["id"], [{"op": "add", "path": "/gender", "value": gender}])
    return 1


def _moved(demo: DemoHapi, rng: Random) -> int:
    patient = _one(demo, rng, "Patient")
    demo.update({**patient, "address": [records.address(rng)]})
    return 1


def _prescription_ended(demo: DemoHapi, rng: Random) -> int:
    prescribed = _one(demo, rng, "MedicationRequest")
    status = "stopped" if prescribed.get("status") == "active" else "active"
    demo.update({**prescribed, "status": status})
    return 1


def _registered(demo: DemoHapi, rng: Random) -> int:
    _newcomer(demo, rng, f"{rng.randint(8_000_000, 8_999_999)}")
    return 1


def _patient_gone(demo: DemoHapi, rng: Random) -> int:
    return delete_patient(demo, _one(demo, rng, "Patient")["id"])


def _patient_back(demo: DemoHapi, rng: Random) -> int:
    deleted = deleted_patients(demo)
    return undelete_patient(demo, rng.choice(deleted)) if deleted else 0


EVENTS: dict[Callable[[DemoHapi, Random], int], int] = {
    _new_result: 55,
    _amended_result: 8,
    _withdrawn_result: 3,
    _new_diagnosis: 8,
    _diabetes_found: 4,
    _doubted_diagnosis: 5,
    _corrected_gender: 4,
    _moved: 5,
    _prescription_ended: 5,
    _registered: 4,
    _patient_gone: 1,
    _patient_back: 1,
}
"""What `keep_changing` does, and how often in a hundred."""
