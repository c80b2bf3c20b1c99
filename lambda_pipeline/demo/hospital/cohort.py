"""Find patients in the demo source, delete them and restore them.

Bodies are read one by one. That is slow, but it uses no view, so that tests can compare the pipeline's answers with it.
"""

from collections.abc import Iterator

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.records import Json

DIABETES_CODES = frozenset({"44054006", "46635009"})


def find_patients_with_diabetes(demo: DemoHapi, *, gender: str) -> dict[str, list[str]]:
    """Current patients of a gender with a diabetes condition that is not entered in error.

    Returns:
        Patient id -> ids of those conditions, both sorted.
    """
    found: dict[str, list[str]] = {}
    for logical_id, condition in read_current(demo, "Condition"):
        if is_diabetes(condition) and verification_status(condition) != "entered-in-error":
            subject = str(condition.get("subject", {}).get("reference", "")).removeprefix("Patient/")
            found.setdefault(subject, []).append(logical_id)
    patients = {logical_id for logical_id, patient in read_current(demo, "Patient") if patient.get("gender") == gender}
    return {patient: sorted(found[patient]) for patient in sorted(found.keys() & patients)}


def is_diabetes(condition: Json) -> bool:
    """Whether a condition is coded as diabetes mellitus, type 1 or 2."""
    return any(coding.get("code") in DIABETES_CODES for coding in condition.get("code", {}).get("coding", ()))


def verification_status(condition: Json) -> str | None:
    """The code of a condition's verification status; None when it has no status."""
    codings = condition.get("verificationStatus", {}).get("coding", ())
    return next((coding.get("code") for coding in codings), None)


def read_current(demo: DemoHapi, resource_type: str) -> Iterator[tuple[str, Json]]:
    """Id and body of each resource of a type that is not deleted, oldest first."""
    with demo.database.connect() as connection:
        rows = connection.execute(
            "SELECT r.fhir_id, v.res_text_vc FROM hfj_resource r JOIN hfj_res_ver v USING (res_id, res_ver)"
            " WHERE r.res_type = %(type)s AND r.res_deleted_at IS NULL AND v.res_encoding = 'JSON' ORDER BY r.res_id",
            {"type": resource_type},
        ).fetchall()
    return ((logical_id, bodies.parse(text)) for logical_id, text in rows)


def deleted_patients(demo: DemoHapi) -> list[str]:
    """Ids of deleted patients, in the order of deletion."""
    with demo.database.connect() as connection:
        rows = connection.execute(
            "SELECT fhir_id FROM hfj_resource WHERE res_type = 'Patient' AND res_deleted_at IS NOT NULL"
            " ORDER BY res_deleted_at, res_id"
        ).fetchall()
    return [logical_id for (logical_id,) in rows]


def delete_patient(demo: DemoHapi, logical_id: str) -> int:
    """Delete a patient and all resources that refer to the patient, in one transaction.

    Returns:
        The number of deleted resources.
    """
    record = _read_record(demo, logical_id, deleted=False)
    with demo.open_transaction(bundle=True) as transaction:
        for resource_type, resource_id, _ in record:
            transaction.delete(resource_type, resource_id)
    return len(record)


def undelete_patient(demo: DemoHapi, logical_id: str) -> int:
    """Restore a deleted patient, and the resources of the record that are still deleted, with their last bodies.

    Returns:
        The number of restored resources.
    """
    record = _read_record(demo, logical_id, deleted=True)
    with demo.open_transaction(bundle=True) as transaction:
        for _, resource_id, text in record:
            transaction.update({**bodies.parse(text), "id": resource_id})
    return len(record)


def _read_record(demo: DemoHapi, patient: str, *, deleted: bool) -> list[tuple[str, str, str]]:
    """Type, id and newest body of a patient and of the resources that refer to the patient; the patient comes first."""
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
