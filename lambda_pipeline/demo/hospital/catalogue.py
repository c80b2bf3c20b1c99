"""Diagnoses with their codes and frequency, drugs, procedures, measurements and names of the synthetic patients.

The data is in `catalogue.json`; here it gets types. How patients are drawn from it is in `population`.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Drug:
    """A clinical drug of RxNorm."""

    rxnorm: str
    display: str
    dosage: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A procedure of SNOMED CT.

    Attributes:
        snomed: code.
        display: term.
        hours: its duration; 0 for a procedure recorded at one moment instead of over a period.
    """

    snomed: str
    display: str
    hours: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A diagnosis with codes of SNOMED CT and ICD-10-CM.

    Attributes:
        snomed: code.
        display: preferred term.
        icd10: code; empty where records have a code of SNOMED CT only.
        text: as a clinician writes it.
        prevalence: share of the patients who have it, aged under 18, 18 to 44, 45 to 64, and 65 or older.
        lasts_days: its duration; 0 for a lifelong condition.
        drug: the drug that is prescribed for it.
        operation: the procedure that is performed for it.
    """

    snomed: str
    display: str
    icd10: str
    text: str
    prevalence: tuple[float, float, float, float]
    lasts_days: int = 0
    drug: Drug | None = None
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """A numeric observation of LOINC with a UCUM unit.

    Attributes:
        loinc: code.
        display: long common name.
        unit: as printed.
        ucum: code of the unit.
        mean: mean of healthy people.
        deviation: one standard deviation.
        digits: decimal places reported; trailing zeros are kept.
        low: lower limit of the reference range; empty for none.
        high: upper limit; empty for none.
    """

    loinc: str
    display: str
    unit: str
    ucum: str
    mean: float
    deviation: float
    digits: int
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The content of `catalogue.json`.

    The order of each list is part of the population: a seed draws from the lists by position.

    Attributes:
        diagnoses: what a patient can have.
        laboratory: results of the laboratory; HbA1c first, which is drawn separately from the others.
        vital_signs: weight, height and the two blood pressures.
        screenings: procedures without a diagnosis.
        given_names: by administrative gender.
        family_names: of all patients.
        streets: for addresses.
        towns: name, state and postal code.
    """

    diagnoses: tuple[Diagnosis, ...]
    laboratory: tuple[Measurement, ...]
    vital_signs: tuple[Measurement, ...]
    screenings: tuple[Operation, ...]
    given_names: dict[str, tuple[str, ...]]
    family_names: tuple[str, ...]
    streets: tuple[str, ...]
    towns: tuple[tuple[str, str, str], ...]

    def diagnosis(self, snomed: str) -> Diagnosis:
        """The diagnosis with this code."""
        return next(diagnosis for diagnosis in self.diagnoses if diagnosis.snomed == snomed)

    def drug(self, rxnorm: str) -> Drug:
        """The drug with this code."""
        drugs = (diagnosis.drug for diagnosis in self.diagnoses)
        return next(drug for drug in drugs if drug is not None and drug.rxnorm == rxnorm)

    def measurement(self, loinc: str) -> Measurement:
        """The measurement with this code."""
        return next(found for found in (*self.laboratory, *self.vital_signs) if found.loinc == loinc)


CATALOGUE = TypeAdapter(Catalogue).validate_json((Path(__file__).parent / "catalogue.json").read_bytes())

TYPE_1_DIABETES = CATALOGUE.diagnosis("46635009")
TYPE_2_DIABETES = CATALOGUE.diagnosis("44054006")
INSULIN = CATALOGUE.drug("311041")
HBA1C = CATALOGUE.measurement("4548-4")
GLUCOSE = CATALOGUE.measurement("2339-0")
WEIGHT = CATALOGUE.measurement("29463-7")
HEIGHT = CATALOGUE.measurement("8302-2")
SYSTOLIC = CATALOGUE.measurement("8480-6")
DIASTOLIC = CATALOGUE.measurement("8462-4")
