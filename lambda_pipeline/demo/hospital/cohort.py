"""Finding patients in the demo source, by reading bodies one by one: slow, simple, and no view is involved."""

from collections.abc import Iterator

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.records import Json

DIABETES_CODES = frozenset({"44054006", "46635009"})


def patients_with_diabetes(demo: DemoHapi, *, gender: str) -> dict[str, list[str]]:
    """Live patients of a gender with a diabetes condition that is not entered in error.

    Returns:
        Patient id -> ids of those conditions, both sorted.
    """
    found: dict[str, list[str]] = {}
    for logical_id, condition in current(demo, "Condition"):
        if is_diabetes(condition) and verification(condition) != "entered-in-error":
            subject = str(condition.get("subject", {}).get("reference", "")).removeprefix("Patient/")
            found.setdefault(subject, []).append(logical_id)
    patients = {logical_id for logical_id, patient in current(demo, "Patient") if patient.get("gender") == gender}
    return {patient: sorted(found[patient]) for patient in sorted(found.keys() & patients)}


def is_diabetes(condition: Json) -> bool:
    """Whether a condition is coded as diabetes mellitus, type 1 or 2."""
    return any(coding.get("code") in DIABETES_CODES for coding in condition.get("code", {}).get("coding", ()))


def verification(condition: Json) -> str | None:
    """The verification status of a condition."""
    codings = condition.get("verificationStatus", {}).get("coding", ())
    return next((coding.get("code") for coding in codings), None)


def current(demo: DemoHapi, resource_type: str) -> Iterator[tuple[str, Json]]:
    """Id and body of each live resource of a type, oldest first."""
    with demo.database.connect() as connection:
        rows = connection.execute(
            "SELECT r.fhir_id, v.res_text_vc FROM hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_type = %(type)s AND r.res_deleted_at IS NULL AND v.res_encoding = 'JSON' ORDER BY r.res_id",
            {"type": resource_type},
        ).fetchall()
    return ((logical_id, bodies.parse(text)) for logical_id, text in rows)


def deleted_patients(demo: DemoHapi) -> list[str]:
    """Ids of deleted patients, the one deleted first in front."""
    with demo.database.connect() as connection:
        rows = connection.execute(
            "SELECT fhir_id FROM hfj_resource WHERE res_type = 'Patient' AND res_deleted_at IS NOT NULL"
            " ORDER BY res_deleted_at, res_id"
        ).fetchall()
    return [logical_id for (logical_id,) in rows]


def delete_patient(demo: DemoHapi, logical_id: str) -> int:
    """Delete a patient and all that refers to them, in one transaction.

    Returns:
        How many resources.
    """
    keys = _record(demo, logical_id, deleted=False)
    with demo.open_transaction(bundle=True) as transaction:
        for resource_type, resource_id, _ in keys:
            transaction.delete(resource_type, resource_id)
    return len(keys)


def undelete_patient(demo: DemoHapi, logical_id: str) -> int:
    """Bring a deleted patient back, with all of the record that is still deleted, as it was.

    Returns:
        How many resources.
    """
    record = _record(demo, logical_id, deleted=True)
    with demo.open_transaction(bundle=True) as transaction:
        for _, resource_id, text in record:
            transaction.update({**bodies.parse(text), "id": resource_id})
    return len(record)


def _record(demo: DemoHapi, patient: str, *, deleted: bool) -> list[tuple[str, str, str]]:
    """Type, id and newest body of a patient and of what refers to them; the patient first."""
    with demo.database.connect() as connection:
        return connection.execute(
            "SELECT r.res_type, r.fhir_id, v.res_text_vc FROM hfj_resource r"
            " CROSS JOIN LATERAL (SELECT res_text_vc FROM hfj_res_ver WHERE res_id = r.res_id AND res_encoding = 'JSON'"
            "   ORDER BY res_ver DESC LIMIT 1) v"
            " WHERE (r.res_deleted_at IS NOT NULL) = %(deleted)s AND (r.res_type = 'Patient' AND r.fhir_id = %(id)s"
            "   OR r.res_type <> 'Patient' AND strpos(v.res_text_vc, %(reference)s) > 0)"
            " ORDER BY r.res_type = 'Patient' DESC, r.res_id",
            {"deleted": deleted, "id": patient, "reference": f'"subject":{{"reference":"Patient/{patient}"}}'},
        ).fetchall()
