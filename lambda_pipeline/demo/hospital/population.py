"""A synthetic population: the same for the same seed, with frequencies and correlations that look real."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from lambda_pipeline.demo.hapi.bulk import Progress
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital import records
from lambda_pipeline.demo.hospital.catalogue import (
    DIAGNOSES,
    GLUCOSE,
    HBA1C,
    HEIGHT,
    INSULIN,
    LABORATORY,
    SCREENINGS,
    TYPE_1_DIABETES,
    TYPE_2_DIABETES,
    WEIGHT,
    Diagnosis,
    Measurement,
)
from lambda_pipeline.demo.hospital.cohort import delete_patient, patients_with_diabetes
from lambda_pipeline.demo.hospital.records import Json
from lambda_pipeline.errors import ConfigurationError

SEED = 20_260_101
TODAY = datetime(2026, 1, 1, 8, tzinfo=UTC)
"""The day the records end; fixed, so that the population does not depend on when it is made."""

YEAR = timedelta(days=365)
AGE_BANDS = ((0, 17, 20), (18, 44, 34), (45, 64, 27), (65, 94, 19))
"""From, to, percent."""

DIABETES = frozenset({TYPE_1_DIABETES, TYPE_2_DIABETES})


def generate(patients: int = 1_000, seed: int = SEED) -> Iterator[Json]:
    """Patients with their encounters, conditions, observations, prescriptions and procedures.

    Each patient comes before what refers to it. Ids are readable (`patient-00001`, `condition-00001-2`).

    Args:
        patients: how many.
        seed: another seed, another population; patient n does not depend on how many there are.
    """
    for number in range(1, patients + 1):
        yield from _Life(number, seed).resources()


def populate(demo: DemoHapi, *, patients: int = 1_000, seed: int = SEED, progress: Progress | None = None) -> int:
    """Make the tables, store the population, and delete one man with diabetes, for a later day to bring back.

    Returns:
        How many resources were stored.

    Raises:
        ConfigurationError: the database holds resources already, or the population has no man with diabetes.
    """
    demo.install()
    with demo.database.connect() as connection:
        if connection.execute("SELECT FROM hfj_resource LIMIT 1").fetchone() is not None:
            raise ConfigurationError("the demo source is not empty", hint="start from an empty database")
    count = demo.load(generate(patients, seed), progress=progress)
    men = patients_with_diabetes(demo, gender="male")
    if not men:
        raise ConfigurationError(f"no man with diabetes among {patients} patients", hint="ask for more of them")
    delete_patient(demo, max(men))
    return count


class _Life:
    """One patient's record."""

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
        self.diagnoses = self._drawn_diagnoses()
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
            yield self._named(records.procedure(self.subject, self.rng.choice(SCREENINGS), at, visit=visit))

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

    def _drawn_diagnoses(self) -> tuple[Diagnosis, ...]:
        band = next(index for index, (_, high, _) in enumerate(AGE_BANDS) if self.age <= high)
        found = [diagnosis for diagnosis in DIAGNOSES if self.rng.random() < diagnosis.prevalence[band]]
        if TYPE_1_DIABETES in found and TYPE_2_DIABETES in found:
            found.remove(TYPE_1_DIABETES)
        return tuple(found)

    def _visits(self) -> list[Json]:
        busy = sum(1 for diagnosis in self.diagnoses if not diagnosis.lasts_days)
        count = self.rng.randint(2, 4) + busy
        span = min(8 * YEAR, self.end - _midnight(self.born))
        moments = sorted(self.end - span * self.rng.random() for _ in range(count))
        return [
            self._named(
                records.encounter(
                    self.subject, moment, minutes=self.rng.choice((15, 20, 30, 45)),
                    kind="EMER" if self.rng.random() < 0.08 else "AMB",
                )
            )
            for moment in moments
        ]  # fmt: skip

    def _illness(self, diagnosis: Diagnosis, starts: list[tuple[str, datetime]]) -> Iterator[Json]:
        visit: str | None
        visit, at = self.rng.choice(starts)
        if diagnosis.lasts_days == 0 and self.rng.random() < 0.6:
            visit, at = None, max(_midnight(self.born), at - timedelta(days=self.rng.randint(100, 3_000)))
        condition = self._named(
            records.condition(self.rng, self.subject, diagnosis, at, today=self.end, born=self.born, visit=visit)
        )
        yield condition
        if diagnosis.drug is not None:
            lasting = diagnosis.lasts_days == 0 and self.end == TODAY and self.rng.random() < 0.85
            status = "active" if lasting else self.rng.choice(("completed", "stopped"))
            prescribed = records.medication_request(
                self.rng, self.subject, diagnosis.drug, at, status=status, visit=visit
            )
            yield self._named(prescribed)
        if diagnosis == TYPE_2_DIABETES and self.rng.random() < 0.2:
            yield self._named(records.medication_request(self.rng, self.subject, INSULIN, at, status="active"))
        if diagnosis.operation is not None and self.rng.random() < 0.7:
            reason = f"Condition/{condition['id']}"
            yield self._named(records.procedure(self.subject, diagnosis.operation, at, visit=visit, reason=reason))

    def _examination(self, visit: str, at: datetime) -> Iterator[Json]:
        hypertensive = any(diagnosis.snomed == "38341003" for diagnosis in self.diagnoses)
        yield self._named(records.blood_pressure(self.rng, self.subject, at, raised=hypertensive, visit=visit))
        yield self._named(records.vital_sign(self.subject, WEIGHT, self._weight(), at, visit=visit))
        if self.rng.random() < 0.2:
            height = records.drawn(self.rng, HEIGHT, mean=min(HEIGHT.mean, 55 + 7 * self.age))
            yield self._named(records.vital_sign(self.subject, HEIGHT, height, at, visit=visit))
        diabetic = not DIABETES.isdisjoint(self.diagnoses)
        if diabetic or self.rng.random() < 0.25:
            yield self._laboratory(HBA1C, visit, at)
        if self.rng.random() < 0.35:
            for measured in self.rng.sample(LABORATORY[1:], k=self.rng.randint(2, 6)):
                yield self._laboratory(measured, visit, at)
        if self.rng.random() < 0.03:
            yield self._named(records.urine_culture(self.rng, self.subject, at, visit=visit))
        if self.rng.random() < 0.02:
            yield self._named(records.blood_group(self.rng, self.subject, at, visit=visit))

    def _laboratory(self, measured: Measurement, visit: str, at: datetime) -> Json:
        value = laboratory_value(self.rng, measured, diabetic=not DIABETES.isdisjoint(self.diagnoses))
        return self._named(records.laboratory(self.rng, self.subject, measured, value, at, visit=visit))

    def _weight(self) -> Decimal:
        adult = WEIGHT.mean + (22 if any(diagnosis.snomed == "414916001" for diagnosis in self.diagnoses) else 0)
        mean = adult if self.age >= 18 else 4 + adult * self.age / 20
        return records.drawn(self.rng, WEIGHT, mean=mean, deviation=mean / 8)

    def _named(self, resource: Json) -> Json:
        kind = resource["resourceType"]
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return {**resource, "id": f"{kind.lower()}-{self.number:05}-{self._counts[kind]}"}


def laboratory_value(rng: Random, measured: Measurement, *, diabetic: bool) -> Decimal:
    """A result; with diabetes, HbA1c and glucose are mostly above the range."""
    if diabetic and measured == HBA1C:
        return records.drawn(rng, measured, mean=7.6, deviation=1.2)
    if diabetic and measured == GLUCOSE:
        return records.drawn(rng, measured, mean=162, deviation=38)
    return records.drawn(rng, measured)


def _start(visit: Json) -> datetime:
    return datetime.fromisoformat(visit["period"]["start"])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
