"""What happens in the hospital after the first night: one scripted day, and random changes without end.

The population as it is before that day is made in `population`; the resources are built in `records`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from threading import Event

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.outcome import RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital import records
from lambda_pipeline.demo.hospital.catalogue import CATALOGUE, HBA1C, TYPE_2_DIABETES
from lambda_pipeline.demo.hospital.cohort import (
    delete_patient,
    deleted_patients,
    find_patients_with_diabetes,
    read_current,
    undelete_patient,
    verification_status,
)
from lambda_pipeline.demo.hospital.population import TODAY, draw_laboratory_value
from lambda_pipeline.demo.hospital.records import Json
from lambda_pipeline.errors import ConfigurationError

LABORATORY_RESULTS = 300
SHIFT = timedelta(hours=10)
"""Length of the day: its events happen between `TODAY` and `TODAY + SHIFT`."""


def simulate_day(demo: DemoHapi, seed: int = 1) -> list[str]:
    """Change the source as a day in a hospital does: the number of men with diabetes rises by four.

    Five men come: two are registered with diabetes, one known patient is diagnosed with it, the gender of one patient
    with diabetes is corrected to male, and the patient who was deleted first is restored. One man leaves: he is deleted
    with his record. Other patients get a few hundred laboratory results, which change views but not this number.

    Args:
        demo: a source with the synthetic population, where at least one man with diabetes was deleted.
        seed: selects the patients; the same source and seed give the same day.

    Returns:
        What happened, one sentence per event.

    Raises:
        ConfigurationError: the source lacks a patient for one of the events.
    """
    rng = Random(seed)  # noqa: S311 (nothing is kept secret by it)
    men = find_patients_with_diabetes(demo, gender="male")
    women = find_patients_with_diabetes(demo, gender="female")
    healthy = [
        logical_id
        for logical_id, patient in read_current(demo, "Patient")
        if patient.get("gender") == "male" and logical_id not in men and not _is_dead(patient)
    ]
    deleted = deleted_patients(demo)
    if not (men and women and healthy and deleted):
        raise ConfigurationError(
            "the demo source lacks men with diabetes, or other patients that the day needs",
            hint="start again from an empty database",
        )
    diagnosed, corrected, leaving = rng.choice(healthy), rng.choice(list(women)), rng.choice(list(men))
    events = []
    for number in (1, 2):
        patient = _register_man_with_diabetes(demo, rng, 9_000_000 + seed * 10 + number)
        events.append(f"Patient/{patient}, a man with type 2 diabetes, is registered.")
    demo.post(_confirmed_diabetes(rng, f"Patient/{diagnosed}", born=TODAY.date()))
    events.append(f"Patient/{diagnosed}, a man known to the hospital, is diagnosed with type 2 diabetes.")
    demo.patch("Patient", corrected, [{"op": "replace", "path": "/gender", "value": "male"}])
    events.append(f"Patient/{corrected} has diabetes; the gender is corrected from female to male.")
    count = undelete_patient(demo, deleted[0])
    events.append(
        f"Patient/{deleted[0]}, a man with diabetes who was deleted before, is restored"
        f" with the {count - 1} other resources of his record."
    )
    count = delete_patient(demo, leaving)
    events.append(
        f"Patient/{leaving}, a man with diabetes, is deleted with the {count - 1} other resources of his record."
    )
    _load_results(demo, rng)
    events.append(f"{LABORATORY_RESULTS} laboratory results arrive.")
    return events


def keep_changing(demo: DemoHapi, seed: int, stop: Event, per_second: float = 2.0) -> int:
    """Make plausible changes at random moments until `stop` is set; run it in a thread or process of its own.

    Args:
        demo: a source with the synthetic population.
        seed: selects changes and patients.
        stop: ends the loop.
        per_second: mean number of changes in a second.

    Returns:
        The number of changed resources.

    Raises:
        ServerUnavailableError: the database cannot be reached.
    """
    rng = Random(seed)  # noqa: S311 (nothing is kept secret by it)
    events, weights = zip(*EVENTS.items(), strict=True)
    count = 0
    while not stop.wait(rng.expovariate(per_second)):
        try:
            count += rng.choices(events, weights)[0](demo, rng)
        except RequestRefusedError:
            continue
    return count


def _register_man_with_diabetes(demo: DemoHapi, rng: Random, record_number: int) -> str:
    """Register a man, his diabetes and a result in one transaction; returns the id that the server assigned."""
    born = (TODAY - timedelta(days=rng.randint(50 * 365, 75 * 365))).date()
    patient = records.patient(rng, gender="male", born=born, number=record_number)
    patient["name"] = patient.get("name") or [{"use": "official", "family": "Newman", "given": ["Alan"]}]
    diagnosis = _confirmed_diabetes(rng, "urn:uuid:newcomer", born=born)
    value = draw_laboratory_value(rng, HBA1C, diabetic=True)
    result = records.laboratory(rng, "urn:uuid:newcomer", HBA1C, value, _moment_of_day(rng))
    outcomes = demo.transaction(
        _transaction_bundle({"urn:uuid:newcomer": patient, "": diagnosis, "urn:uuid:result": result})
    )
    return outcomes[0].id


def _confirmed_diabetes(rng: Random, subject: str, *, born: date) -> Json:
    diagnosis = records.condition(rng, subject, TYPE_2_DIABETES, _moment_of_day(rng), today=TODAY + SHIFT, born=born)
    diagnosis["clinicalStatus"] = records.status_concept("condition-clinical", "active")
    diagnosis["verificationStatus"] = records.status_concept("condition-ver-status", "confirmed")
    return diagnosis


def _transaction_bundle(resources: Mapping[str, Json]) -> Json:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
            for url, resource in resources.items()
        ],
    }


def _load_results(demo: DemoHapi, rng: Random) -> None:
    living = [logical_id for logical_id, patient in read_current(demo, "Patient") if not _is_dead(patient)]
    diabetic = {
        patient for gender in ("male", "female") for patient in find_patients_with_diabetes(demo, gender=gender)
    }
    demo.load(
        _laboratory_result(rng, patient, _moment_of_day(rng), diabetic=patient in diabetic)
        for patient in rng.choices(living, k=LABORATORY_RESULTS)
    )


def _laboratory_result(rng: Random, patient: str, moment: datetime, *, diabetic: bool) -> Json:
    measured = rng.choice(CATALOGUE.laboratory)
    value = draw_laboratory_value(rng, measured, diabetic=diabetic)
    return records.laboratory(rng, f"Patient/{patient}", measured, value, moment)


def _is_dead(patient: Json) -> bool:
    return "deceasedDateTime" in patient or bool(patient.get("deceasedBoolean"))


def _moment_of_day(rng: Random) -> datetime:
    return TODAY + SHIFT * rng.random()


def _draw_resource(demo: DemoHapi, rng: Random, resource_type: str) -> Json:
    """One current resource, drawn by its key, so that the other resources of the type need not be read."""
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
        raise RequestRefusedError(f"no {resource_type} to change", status=404)
    return {**bodies.parse(row[1]), "id": row[0]}


def _add_result(demo: DemoHapi, rng: Random) -> int:
    patient = _draw_resource(demo, rng, "Patient")["id"]
    demo.post(_laboratory_result(rng, patient, datetime.now(UTC), diabetic=rng.random() < 0.11))
    return 1


def _amend_result(demo: DemoHapi, rng: Random) -> int:
    observation = _draw_resource(demo, rng, "Observation")
    status = "amended" if observation.get("status") == "final" else "final"
    demo.update({**observation, "status": status})
    return 1


def _delete_result(demo: DemoHapi, rng: Random) -> int:
    demo.delete("Observation", _draw_resource(demo, rng, "Observation")["id"])
    return 1


def _add_diagnosis(demo: DemoHapi, rng: Random) -> int:
    patient, now = _draw_resource(demo, rng, "Patient"), datetime.now(UTC)
    born = date(int(str(patient.get("birthDate", "1970"))[:4]), 1, 1)
    subject = f"Patient/{patient['id']}"
    demo.post(records.condition(rng, subject, rng.choice(CATALOGUE.diagnoses), now, today=now, born=born))
    return 1


def _diagnose_diabetes(demo: DemoHapi, rng: Random) -> int:
    patient, now = _draw_resource(demo, rng, "Patient"), datetime.now(UTC)
    subject = f"Patient/{patient['id']}"
    demo.post(records.condition(rng, subject, TYPE_2_DIABETES, now, today=now, born=now.date()))
    return 1


def _change_verification(demo: DemoHapi, rng: Random) -> int:
    """Mark a diagnosis as entered in error, or confirm one that was; the former has no clinical status (R4, con-5)."""
    condition = _draw_resource(demo, rng, "Condition")
    wrong = verification_status(condition) == "entered-in-error"
    verified = records.status_concept("condition-ver-status", "confirmed" if wrong else "entered-in-error")
    condition["verificationStatus"] = verified
    condition.pop("clinicalStatus", None)
    if wrong:
        condition["clinicalStatus"] = records.status_concept("condition-clinical", "active")
    demo.update(condition)
    return 1


def _correct_gender(demo: DemoHapi, rng: Random) -> int:
    patient = _draw_resource(demo, rng, "Patient")
    gender = "female" if patient.get("gender") == "male" else "male"
    demo.patch("Patient", patient["id"], [{"op": "add", "path": "/gender", "value": gender}])
    return 1


def _change_address(demo: DemoHapi, rng: Random) -> int:
    patient = _draw_resource(demo, rng, "Patient")
    demo.update({**patient, "address": [records.address(rng)]})
    return 1


def _change_prescription(demo: DemoHapi, rng: Random) -> int:
    prescribed = _draw_resource(demo, rng, "MedicationRequest")
    status = "stopped" if prescribed.get("status") == "active" else "active"
    demo.update({**prescribed, "status": status})
    return 1


def _register_patient(demo: DemoHapi, rng: Random) -> int:
    _register_man_with_diabetes(demo, rng, rng.randint(8_000_000, 8_999_999))
    return 1


def _delete_one_patient(demo: DemoHapi, rng: Random) -> int:
    return delete_patient(demo, _draw_resource(demo, rng, "Patient")["id"])


def _restore_one_patient(demo: DemoHapi, rng: Random) -> int:
    deleted = deleted_patients(demo)
    return undelete_patient(demo, rng.choice(deleted)) if deleted else 0


EVENTS: dict[Callable[[DemoHapi, Random], int], int] = {
    _add_result: 55,
    _amend_result: 8,
    _delete_result: 3,
    _add_diagnosis: 8,
    _diagnose_diabetes: 4,
    _change_verification: 5,
    _correct_gender: 4,
    _change_address: 5,
    _change_prescription: 5,
    _register_patient: 4,
    _delete_one_patient: 1,
    _restore_one_patient: 1,
}
"""The changes that `keep_changing` makes, with their weights."""
