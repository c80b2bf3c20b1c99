"""FHIR resources of synthetic patients, one function per kind of resource, without ids.

Which patient has which resource is decided in `population` and `day`.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from lambda_pipeline.demo.hospital.catalogue import (
    CATALOGUE,
    DIASTOLIC,
    SYSTOLIC,
    Diagnosis,
    Drug,
    Measurement,
    Operation,
)

SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
RECORD_NUMBER = "http://hospital.example.org/mrn"
REQUESTERS = ("Dr. Amelia Hart", "Dr. Bruno Leclerc", "Dr. Chiara Conti", "Dr. Daniel Osei", "Dr. Ewa Nowak")

Json = dict[str, Any]


def concept(system: str, code: str, display: str, *, text: str = "") -> Json:
    """A CodeableConcept with one coding; its text is the display when no text is given."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": text or display}


def status_concept(system: str, code: str) -> Json:
    """A CodeableConcept of a status or category, without text."""
    return {"coding": [{"system": TERMINOLOGY + system, "code": code}]}


def instant(moment: datetime) -> str:
    """A UTC moment as FHIR writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def patient(rng: Random, *, gender: str, born: date, number: int) -> Json:
    """A patient as registered; nearly all have an official name, an address and a phone number."""
    given_names = CATALOGUE.given_names
    given = rng.choice(given_names.get(gender, given_names["female"]))
    family = rng.choice(CATALOGUE.family_names)
    names = [
        {
            "use": "official",
            "family": family,
            "given": [given, *rng.sample(given_names.get(gender, given_names["male"]), k=rng.random() < 0.3)],
        }
    ]
    if rng.random() < 0.08:
        names.append({"use": "nickname", "given": [given[:3]]})
    if rng.random() < 0.02:
        names = [{"use": "usual", "given": [given]}]
    resource: Json = {
        "resourceType": "Patient",
        "identifier": [{"system": RECORD_NUMBER, "value": f"{number:07}"}],
        "active": True,
        "name": names,
        "telecom": [{"system": "phone", "value": f"555-{rng.randrange(10_000):04}", "use": "home"}],
        "gender": gender,
        "birthDate": born.isoformat(),
    }
    if rng.random() < 0.6:
        mail = f"{given}.{number}@example.org".lower().encode("ascii", "ignore").decode()
        resource["telecom"].append({"system": "email", "value": mail})
    vague = rng.random()
    if vague < 0.02:
        resource["birthDate"] = f"{born:%Y}" if vague < 0.01 else f"{born:%Y-%m}"
    if rng.random() < 0.02:
        resource["name"] = []
    if rng.random() >= 0.03:
        resource["address"] = [address(rng)]
    if rng.random() < 0.05:
        del resource["telecom"]
    return resource


def address(rng: Random) -> Json:
    """A home address."""
    city, state, postcode = rng.choice(CATALOGUE.towns)
    line = f"{rng.randint(1, 199)} {rng.choice(CATALOGUE.streets)}"
    return {"use": "home", "line": [line], "city": city, "state": state, "postalCode": postcode, "country": "US"}


def encounter(subject: str, start: datetime, *, minutes: int, visit_class: str = "AMB") -> Json:
    """A planned visit (`AMB`) or an emergency (`EMER`)."""
    reason = (
        ("185349003", "Encounter for check up") if visit_class == "AMB" else ("50849002", "Emergency room admission")
    )
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": TERMINOLOGY + "v3-ActCode", "code": visit_class},
        "type": [concept(SNOMED, *reason)],
        "subject": {"reference": subject},
        "period": {"start": instant(start), "end": instant(start + timedelta(minutes=minutes))},
    }


def condition(
    rng: Random, subject: str, diagnosis: Diagnosis, onset: datetime, *, today: datetime, born: date,
    visit: str | None = None,
) -> Json:  # fmt: skip
    """A diagnosis, resolved when its duration has passed; some onsets are an age or a period, as in real records."""
    over = diagnosis.lasts_days > 0 and onset + timedelta(days=diagnosis.lasts_days) < today
    resource: Json = {
        "resourceType": "Condition",
        "clinicalStatus": status_concept("condition-clinical", "resolved" if over else "active"),
        "category": [status_concept("condition-category", "encounter-diagnosis" if visit else "problem-list-item")],
        "code": diagnosis_code(diagnosis),
        "subject": {"reference": subject},
        "recordedDate": instant(onset + timedelta(days=rng.randrange(3))),
    }
    certainty = rng.random()
    if certainty >= 0.03:
        status = "entered-in-error" if certainty >= 0.985 else "provisional" if certainty >= 0.955 else "confirmed"
        resource["verificationStatus"] = status_concept("condition-ver-status", status)
        if status == "entered-in-error":
            del resource["clinicalStatus"]
    if visit is not None:
        resource["encounter"] = {"reference": visit}
    form = rng.random()
    if form < 0.04:
        years = max(0, (onset.date() - born).days // 365)
        resource["onsetAge"] = {"value": years, "unit": "years", "system": UCUM, "code": "a"}
    elif form < 0.07:
        resource["onsetPeriod"] = {"start": onset.date().isoformat(), "end": instant(onset + timedelta(days=30))}
    elif form < 0.12:
        resource["onsetDateTime"] = f"{onset:%Y-%m}" if form < 0.1 else f"{onset:%Y}"
    else:
        resource["onsetDateTime"] = instant(onset)
    if over and "clinicalStatus" in resource:
        resource["abatementDateTime"] = instant(onset + timedelta(days=diagnosis.lasts_days))
    return resource


def diagnosis_code(diagnosis: Diagnosis) -> Json:
    """The codes of a diagnosis in SNOMED CT and, if it has one, ICD-10-CM."""
    code = concept(SNOMED, diagnosis.snomed, diagnosis.display, text=diagnosis.text)
    if diagnosis.icd10:
        code["coding"].append({"system": ICD10, "code": diagnosis.icd10, "display": diagnosis.text})
    return code


def laboratory(
    rng: Random, subject: str, measured: Measurement, value: Decimal, at: datetime, *, visit: str | None = None
) -> Json:
    """A laboratory result with reference range and interpretation; nearly all are final."""
    resource = _observation(subject, "laboratory", concept(LOINC, measured.loinc, measured.display), at, visit)
    share = rng.random()
    if share < 0.04:
        resource["status"] = ("preliminary", "amended", "corrected", "entered-in-error")[int(share * 100)]
    if share > 0.99:
        resource["effectivePeriod"] = {
            "start": resource.pop("effectiveDateTime"),
            "end": instant(at + timedelta(hours=1)),
        }
    resource["issued"] = (at + timedelta(hours=rng.randint(2, 30))).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    resource["valueQuantity"] = quantity(measured, value)
    limits = {side: Decimal(text) for side, text in (("low", measured.low), ("high", measured.high)) if text}
    resource["interpretation"] = [status_concept("v3-ObservationInterpretation", _interpretation(value, limits))]
    resource["referenceRange"] = [{side: quantity(measured, limit) for side, limit in limits.items()}]
    return resource


def quantity(measured: Measurement, value: Decimal) -> Json:
    """A Quantity in the unit of the measurement."""
    return {"value": value, "unit": measured.unit, "system": UCUM, "code": measured.ucum}


def draw_value(
    rng: Random, measured: Measurement, *, mean: float | None = None, deviation: float | None = None
) -> Decimal:
    """Draw a value around the mean, at least a tenth of it, with the digits that the laboratory reports."""
    centre = measured.mean if mean is None else mean
    value = rng.gauss(centre, measured.deviation if deviation is None else deviation)
    return Decimal(f"{max(value, centre / 10):.{measured.digits}f}")


def urine_culture(rng: Random, subject: str, at: datetime, *, visit: str | None = None) -> Json:
    """A laboratory result whose value is a text."""
    resource = _observation(
        subject, "laboratory", concept(LOINC, "630-4", "Bacteria identified in Urine by Culture"), at, visit
    )
    return {
        **resource,
        "issued": resource["effectiveDateTime"],
        "valueString": rng.choice(("No growth", "Mixed flora")),
    }


def blood_group(rng: Random, subject: str, at: datetime, *, visit: str | None = None) -> Json:
    """A laboratory result whose value is a code."""
    resource = _observation(subject, "laboratory", concept(LOINC, "883-9", "ABO group [Type] in Blood"), at, visit)
    group = rng.choices(
        (
            ("112144000", "Blood group A"),
            ("112149005", "Blood group B"),
            ("165743006", "Blood group AB"),
            ("58460004", "Blood group O"),
        ),
        (37, 14, 5, 44),
    )[0]
    return {**resource, "issued": resource["effectiveDateTime"], "valueCodeableConcept": concept(SNOMED, *group)}


def vital_sign(subject: str, measured: Measurement, value: Decimal, at: datetime, *, visit: str | None = None) -> Json:
    """A vital sign."""
    resource = _observation(subject, "vital-signs", concept(LOINC, measured.loinc, measured.display), at, visit)
    return {**resource, "valueQuantity": quantity(measured, value)}


def blood_pressure(rng: Random, subject: str, at: datetime, *, raised: bool, visit: str | None = None) -> Json:
    """Systolic and diastolic pressure as components of one observation."""
    panel = concept(LOINC, "85354-9", "Blood pressure panel with all children optional")
    more = 18 if raised else 0
    pressures = ((SYSTOLIC, SYSTOLIC.mean + more), (DIASTOLIC, DIASTOLIC.mean + more / 2))
    component = [
        {
            "code": concept(LOINC, measured.loinc, measured.display),
            "valueQuantity": quantity(measured, draw_value(rng, measured, mean=mean)),
        }
        for measured, mean in pressures
    ]
    return {**_observation(subject, "vital-signs", panel, at, visit), "component": component}


def medication_request(
    rng: Random, subject: str, drug: Drug, authored: datetime, *, status: str, visit: str | None = None
) -> Json:
    """A prescription."""
    resource: Json = {
        "resourceType": "MedicationRequest",
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, drug.rxnorm, drug.display),
        "subject": {"reference": subject},
        "authoredOn": instant(authored),
        "requester": {"display": rng.choice(REQUESTERS)},
        "dosageInstruction": [{"sequence": 1, "text": drug.dosage}],
    }
    if visit is not None:
        resource["encounter"] = {"reference": visit}
    return resource


def procedure(
    subject: str, operation: Operation, at: datetime, *, visit: str | None = None, reason: str | None = None
) -> Json:
    """A completed procedure, performed at a moment or over a period."""
    resource: Json = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept(SNOMED, operation.snomed, operation.display),
        "subject": {"reference": subject},
    }
    if operation.hours:
        resource["performedPeriod"] = {"start": instant(at), "end": instant(at + timedelta(hours=operation.hours))}
    else:
        resource["performedDateTime"] = instant(at)
    if visit is not None:
        resource["encounter"] = {"reference": visit}
    if reason is not None:
        resource["reasonReference"] = [{"reference": reason}]
    return resource


def _observation(subject: str, category: str, code: Mapping[str, Any], at: datetime, visit: str | None) -> Json:
    resource: Json = {
        "resourceType": "Observation",
        "status": "final",
        "category": [status_concept("observation-category", category)],
        "code": dict(code),
        "subject": {"reference": subject},
        "effectiveDateTime": instant(at),
    }
    if visit is not None:
        resource["encounter"] = {"reference": visit}
    return resource


def _interpretation(value: Decimal, limits: Mapping[str, Decimal]) -> str:
    if "low" in limits and value < limits["low"]:
        return "L"
    if "high" in limits and value > limits["high"]:
        return "H"
    return "N"
