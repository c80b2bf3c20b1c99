"""A synthetic population with plausible frequencies and correlations; the same seed gives the same population.

The codes and frequencies are in `catalogue`, the form of each resource in `records`, what happens afterwards in `day`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from lambda_pipeline.demo.hapi.bulk import Progress
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital import records
from lambda_pipeline.demo.hospital.catalogue import (
    CATALOGUE,
    GLUCOSE,
    HBA1C,
    HEIGHT,
    INSULIN,
    TYPE_1_DIABETES,
    TYPE_2_DIABETES,
    WEIGHT,
    Diagnosis,
    Measurement,
)
from lambda_pipeline.demo.hospital.cohort import delete_patient, find_patients_with_diabetes
from lambda_pipeline.demo.hospital.records import Json
from lambda_pipeline.errors import ConfigurationError

SEED = 20_260_101
TODAY = datetime(2026, 1, 1, 8, tzinfo=UTC)
"""The day on which the records end; fixed, so that the population does not depend on the current date."""

YEAR = timedelta(days=365)
AGE_BANDS = ((0, 17, 20), (18, 44, 34), (45, 64, 27), (65, 94, 19))
"""Lowest age, highest age, percent of the patients."""

DIABETES = frozenset({TYPE_1_DIABETES, TYPE_2_DIABETES})


def generate(patients: int = 1_000, seed: int = SEED) -> Iterator[Json]:
    """Generate patients with their encounters, conditions, observations, prescriptions and procedures.

    Each patient comes before the resources that refer to it. Ids are readable (`patient-00001`, `condition-00001-2`).

    Args:
        patients: the number of patients.
        seed: selects the population; patient n does not depend on the number of patients.
    """
    for number in range(1, patients + 1):
        yield from _PatientRecord(number, seed).resources()


def populate(demo: DemoHapi, *, patients: int = 1_000, seed: int = SEED, progress: Progress | None = None) -> int:
    """Create the tables, store the population, and delete one man with diabetes, whom `simulate_day` restores.

    Returns:
        The number of stored resources.

    Raises:
        ConfigurationError: the database already holds resources, or the population has no man with diabetes.
    """
    demo.install()
    with demo.database.connect() as connection:
        if connection.execute("SELECT FROM hfj_resource LIMIT 1").fetchone() is not None:
            raise ConfigurationError("the demo source is not empty", hint="start from an empty database")
    count = demo.load(generate(patients, seed), progress=progress)
    men = find_patients_with_diabetes(demo, gender="male")
    if not men:
        raise ConfigurationError(f"no man with diabetes among {patients} patients", hint="use more patients")
    delete_patient(demo, max(men))
    return count


class _PatientRecord:
    """The record of one patient, drawn from a random generator of its own."""

    def __init__(self, number: int, seed: int) -> None:
        self.rng = Random(f"{seed}/{number}")  # noqa: S311 (nothing is kept secret by it)
        self.number = number
        self.subject = f"Patient/patient-{number:05}"
        self._counts: dict[str, int] = {}
        low, high, _ = self.rng.choices(AGE_BANDS, [percent for *_, percent in AGE_BANDS])[0]
        self.age = self.rng.randint(low, high)
        self.born = (TODAY - self.age * YEAR - timedelta(days=self.rng.randrange(365))).date()
        self.end = TODAY
        self.diagnoses: tuple[Diagnosis, ...] = ()

    def resources(self) -> Iterator[Json]:
        patient = self._patient()
        self.diagnoses = self._draw_diagnoses()
        yield patient
        visits = self._visits()
        yield from visits
        starts = [(f"Encounter/{visit['id']}", _start(visit)) for visit in visits]
        for diagnosis in self.diagnoses:
            yield from self._illness(diagnosis, starts)
        for visit, at in starts:
            yield from self._examination(visit, at)
        if self.rng.random() < 0.5:
            visit, at = self.rng.choice(starts)
            yield self._with_id(records.procedure(self.subject, self.rng.choice(CATALOGUE.screenings), at, visit=visit))

    def _patient(self) -> Json:
        gender = self.rng.choices(("male", "female", "other", "unknown"), (489, 505, 4, 2))[0]
        resource = records.patient(self.rng, gender=gender, born=self.born, number=self.number)
        if self.rng.random() < (0.16 if self.age >= 65 else 0.02):
            self.end = TODAY - timedelta(days=self.rng.randint(10, 1_500))
            if self.end.date() <= self.born:
                self.end = TODAY
            resource["deceasedDateTime"] = records.instant(self.end)
        elif self.rng.random() < 0.005:
            resource["deceasedBoolean"] = True
        return {**resource, "id": self.subject.removeprefix("Patient/")}

    def _draw_diagnoses(self) -> tuple[Diagnosis, ...]:
        band = next(index for index, (_, high, _) in enumerate(AGE_BANDS) if self.age <= high)
        found = [diagnosis for diagnosis in CATALOGUE.diagnoses if self.rng.random() < diagnosis.prevalence[band]]
        if TYPE_1_DIABETES in found and TYPE_2_DIABETES in found:
            found.remove(TYPE_1_DIABETES)
        return tuple(found)

    def _visits(self) -> list[Json]:
        busy = sum(1 for diagnosis in self.diagnoses if not diagnosis.lasts_days)
        count = self.rng.randint(2, 4) + busy
        span = min(8 * YEAR, self.end - _midnight(self.born))
        moments = sorted(self.end - span * self.rng.random() for _ in range(count))
        return [
            self._with_id(
                records.encounter(
                    self.subject, moment, minutes=self.rng.choice((15, 20, 30, 45)),
                    visit_class="EMER" if self.rng.random() < 0.08 else "AMB",
                )
            )
            for moment in moments
        ]  # fmt: skip

    def _illness(self, diagnosis: Diagnosis, starts: list[tuple[str, datetime]]) -> Iterator[Json]:
        visit: str | None
        visit, at = self.rng.choice(starts)
        if diagnosis.lasts_days == 0 and self.rng.random() < 0.6:
            visit, at = None, max(_midnight(self.born), at - timedelta(days=self.rng.randint(100, 3_000)))
        condition = self._with_id(
            records.condition(self.rng, self.subject, diagnosis, at, today=self.end, born=self.born, visit=visit)
        )
        yield condition
        if diagnosis.drug is not None:
            lasting = diagnosis.lasts_days == 0 and self.end == TODAY and self.rng.random() < 0.85
            status = "active" if lasting else self.rng.choice(("completed", "stopped"))
            prescribed = records.medication_request(
                self.rng, self.subject, diagnosis.drug, at, status=status, visit=visit
            )
            yield self._with_id(prescribed)
        if diagnosis == TYPE_2_DIABETES and self.rng.random() < 0.2:
            yield self._with_id(records.medication_request(self.rng, self.subject, INSULIN, at, status="active"))
        if diagnosis.operation is not None and self.rng.random() < 0.7:
            reason = f"Condition/{condition['id']}"
            yield self._with_id(records.procedure(self.subject, diagnosis.operation, at, visit=visit, reason=reason))

    def _examination(self, visit: str, at: datetime) -> Iterator[Json]:
        hypertensive = any(diagnosis.snomed == "38341003" for diagnosis in self.diagnoses)
        yield self._with_id(records.blood_pressure(self.rng, self.subject, at, raised=hypertensive, visit=visit))
        yield self._with_id(records.vital_sign(self.subject, WEIGHT, self._weight(), at, visit=visit))
        if self.rng.random() < 0.2:
            height = records.draw_value(self.rng, HEIGHT, mean=min(HEIGHT.mean, 55 + 7 * self.age))
            yield self._with_id(records.vital_sign(self.subject, HEIGHT, height, at, visit=visit))
        diabetic = not DIABETES.isdisjoint(self.diagnoses)
        if diabetic or self.rng.random() < 0.25:
            yield self._laboratory(HBA1C, visit, at)
        if self.rng.random() < 0.35:
            for measured in self.rng.sample(CATALOGUE.laboratory[1:], k=self.rng.randint(2, 6)):
                yield self._laboratory(measured, visit, at)
        if self.rng.random() < 0.03:
            yield self._with_id(records.urine_culture(self.rng, self.subject, at, visit=visit))
        if self.rng.random() < 0.02:
            yield self._with_id(records.blood_group(self.rng, self.subject, at, visit=visit))

    def _laboratory(self, measured: Measurement, visit: str, at: datetime) -> Json:
        value = draw_laboratory_value(self.rng, measured, diabetic=not DIABETES.isdisjoint(self.diagnoses))
        return self._with_id(records.laboratory(self.rng, self.subject, measured, value, at, visit=visit))

    def _weight(self) -> Decimal:
        adult = WEIGHT.mean + (22 if any(diagnosis.snomed == "414916001" for diagnosis in self.diagnoses) else 0)
        mean = adult if self.age >= 18 else 4 + adult * self.age / 20
        return records.draw_value(self.rng, WEIGHT, mean=mean, deviation=mean / 8)

    def _with_id(self, resource: Json) -> Json:
        resource_type = resource["resourceType"]
        self._counts[resource_type] = self._counts.get(resource_type, 0) + 1
        return {**resource, "id": f"{resource_type.lower()}-{self.number:05}-{self._counts[resource_type]}"}


def draw_laboratory_value(rng: Random, measured: Measurement, *, diabetic: bool) -> Decimal:
    """Draw the value of a result; with diabetes, HbA1c and glucose are mostly above the reference range."""
    if diabetic and measured == HBA1C:
        return records.draw_value(rng, measured, mean=7.6, deviation=1.2)
    if diabetic and measured == GLUCOSE:
        return records.draw_value(rng, measured, mean=162, deviation=38)
    return records.draw_value(rng, measured)


def _start(visit: Json) -> datetime:
    return datetime.fromisoformat(visit["period"]["start"])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
