"""What the synthetic patients can have: diagnoses with their codes and frequency, drugs, operations, measurements."""

from dataclasses import dataclass


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
        hours: how long it takes; 0 means it is recorded at one moment, else as a period.
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
        icd10: code; empty where the record has SNOMED CT alone.
        text: as a clinician writes it.
        prevalence: share of patients under 18, 18 to 44, 45 to 64, and 65 or older who have it.
        lasts_days: how long it lasts; 0 means for life.
        drug: what is prescribed for it, if anything.
        operation: what is done about it, if anything.
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
        mean: of healthy people.
        deviation: one standard deviation.
        digits: decimal places reported; trailing zeros are kept.
        low: lower end of the reference range; empty for none.
        high: upper end.
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


METFORMIN = Drug("861007", "Metformin hydrochloride 500 MG Oral Tablet", "1 tablet twice daily with meals")
INSULIN = Drug("311041", "Insulin glargine 100 UNT/ML Injectable Solution", "10 units subcutaneously at bedtime")
COLONOSCOPY = Operation("73761001", "Colonoscopy", hours=1)

TYPE_2_DIABETES = Diagnosis(
    "44054006", "Diabetes mellitus type 2 (disorder)", "E11.9", "Type 2 diabetes mellitus", (0.002, 0.045, 0.16, 0.26),
    drug=METFORMIN,
)  # fmt: skip
TYPE_1_DIABETES = Diagnosis(
    "46635009", "Diabetes mellitus type 1 (disorder)", "E10.9", "Type 1 diabetes mellitus",
    (0.003, 0.006, 0.006, 0.005),
    drug=INSULIN,
)  # fmt: skip

DIAGNOSES = (
    TYPE_2_DIABETES,
    TYPE_1_DIABETES,
    Diagnosis(
        "38341003", "Hypertensive disorder, systemic arterial (disorder)", "I10", "Hypertension",
        (0.002, 0.12, 0.42, 0.65), drug=Drug("314076", "Lisinopril 10 MG Oral Tablet", "1 tablet every morning"),
    ),
    Diagnosis(
        "55822004", "Hyperlipidemia (disorder)", "E78.5", "Hyperlipidemia", (0.0, 0.08, 0.3, 0.45),
        drug=Drug("312961", "Simvastatin 20 MG Oral Tablet", "1 tablet at bedtime"),
    ),
    Diagnosis("414916001", "Obesity (disorder)", "E66.9", "Obesity", (0.12, 0.28, 0.35, 0.3)),
    Diagnosis(
        "195967001", "Asthma (disorder)", "J45.909", "Asthma", (0.09, 0.08, 0.07, 0.07),
        drug=Drug(
            "745679", "200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", "2 puffs every 4 to 6 hours if needed"
        ),
        operation=Operation("127783003", "Spirometry"),
    ),
    Diagnosis(
        "13645005", "Chronic obstructive pulmonary disease (disorder)", "J44.9", "COPD", (0.0, 0.01, 0.06, 0.12),
        operation=Operation("127783003", "Spirometry"),
    ),
    Diagnosis(
        "53741008", "Coronary arteriosclerosis (disorder)", "I25.10", "Coronary artery disease",
        (0.0, 0.01, 0.06, 0.17),
        drug=Drug("243670", "Aspirin 81 MG Oral Tablet", "1 tablet daily"),
        operation=Operation("415070008", "Percutaneous coronary intervention", hours=2),
    ),
    Diagnosis(
        "49436004", "Atrial fibrillation (disorder)", "I48.91", "Atrial fibrillation", (0.0, 0.003, 0.02, 0.09),
        drug=Drug("855332", "Warfarin Sodium 5 MG Oral Tablet", "1 tablet daily, by INR"),
        operation=Operation("180325003", "Electrical cardioversion"),
    ),
    Diagnosis(
        "42343007", "Congestive heart failure (disorder)", "I50.9", "Heart failure", (0.0, 0.004, 0.025, 0.1),
        drug=Drug("310429", "Furosemide 20 MG Oral Tablet", "1 tablet every morning"),
    ),
    Diagnosis(
        "709044004", "Chronic kidney disease (disorder)", "N18.9", "Chronic kidney disease",
        (0.0, 0.02, 0.07, 0.2),
    ),
    Diagnosis(
        "40930008", "Hypothyroidism (disorder)", "E03.9", "Hypothyroidism", (0.002, 0.03, 0.06, 0.1),
        drug=Drug("966222", "Levothyroxine Sodium 0.075 MG Oral Tablet", "1 tablet before breakfast"),
    ),
    Diagnosis(
        "35489007", "Depressive disorder (disorder)", "F32.9", "Depression", (0.03, 0.12, 0.1, 0.07),
        drug=Drug("312941", "Sertraline 50 MG Oral Tablet", "1 tablet every morning"),
        operation=Operation("171207006", "Depression screening"),
    ),
    Diagnosis("396275006", "Osteoarthritis (disorder)", "M19.90", "Osteoarthritis", (0.0, 0.03, 0.2, 0.4)),
    Diagnosis(
        "64859006", "Osteoporosis (disorder)", "M81.0", "Osteoporosis", (0.0, 0.002, 0.04, 0.16),
        drug=Drug("904419", "Alendronic acid 10 MG Oral Tablet", "1 tablet every morning"),
    ),
    Diagnosis("271737000", "Anemia (disorder)", "D64.9", "Anemia", (0.04, 0.07, 0.06, 0.1), lasts_days=400),
    Diagnosis(
        "68496003", "Polyp of colon (disorder)", "K63.5", "Polyp of colon", (0.0, 0.01, 0.1, 0.15),
        operation=COLONOSCOPY,
    ),
    Diagnosis("444814009", "Viral sinusitis (disorder)", "", "Viral sinusitis", (0.2, 0.25, 0.2, 0.15), lasts_days=14),
    Diagnosis(
        "195662009", "Acute viral pharyngitis (disorder)", "J02.9", "Sore throat", (0.25, 0.2, 0.1, 0.05),
        lasts_days=10,
    ),
    Diagnosis(
        "10509002", "Acute bronchitis (disorder)", "J20.9", "Acute bronchitis", (0.1, 0.12, 0.15, 0.15),
        lasts_days=21,
    ),
    Diagnosis(
        "65363002", "Otitis media (disorder)", "H66.90", "Otitis media", (0.3, 0.03, 0.01, 0.01), lasts_days=12,
        drug=Drug("308182", "Amoxicillin 250 MG Oral Capsule", "1 capsule three times daily for 7 days"),
    ),
    Diagnosis(
        "74400008", "Appendicitis (disorder)", "K37", "Appendicitis", (0.02, 0.05, 0.05, 0.05), lasts_days=20,
        operation=Operation("80146002", "Appendectomy", hours=2),
    ),
    Diagnosis(
        "44465007", "Sprain of ankle (disorder)", "S93.409A", "Sprained ankle", (0.08, 0.08, 0.05, 0.03), lasts_days=30,
        drug=Drug("310965", "Ibuprofen 200 MG Oral Tablet", "1 tablet every 6 hours if needed"),
    ),
)  # fmt: skip

HBA1C = Measurement("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", "%", 5.4, 0.3, 1, "4.0", "5.6")
GLUCOSE = Measurement("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", "mg/dL", 92, 9, 0, "70", "99")
CREATININE = Measurement(
    "38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL", "mg/dL", 0.95, 0.18, 2, "0.60", "1.30"
)

LABORATORY = (
    HBA1C,
    GLUCOSE,
    CREATININE,
    Measurement("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 188, 30, 0, "", "200"),
    Measurement("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 130, 45, 0, "", "150"),
    Measurement(
        "18262-6", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by Direct assay", "mg/dL", "mg/dL", 112,
        26, 0, "", "130",
    ),
    Measurement("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 54, 12, 0, "40", ""),
    Measurement("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", "g/dL", 14.1, 1.2, 1, "12.0", "17.5"),
    Measurement(
        "6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 7.1, 1.6, 2,
        "4.50", "11.00",
    ),
    Measurement(
        "777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 255, 50, 0, "150",
        "450",
    ),
    Measurement("2947-0", "Sodium [Moles/volume] in Blood", "mmol/L", "mmol/L", 140, 2.4, 0, "136", "145"),
    Measurement("6298-4", "Potassium [Moles/volume] in Blood", "mmol/L", "mmol/L", 4.2, 0.35, 1, "3.5", "5.1"),
    Measurement(
        "1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "U/L", "U/L", 24,
        9, 0, "7", "56",
    ),
    Measurement(
        "3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "mIU/L", "m[IU]/L", 2.0, 0.8, 2, "0.40",
        "4.00",
    ),
)  # fmt: skip
WEIGHT = Measurement("29463-7", "Body Weight", "kg", "kg", 78, 14, 1)
HEIGHT = Measurement("8302-2", "Body Height", "cm", "cm", 170, 9, 1)
SYSTOLIC = Measurement("8480-6", "Systolic Blood Pressure", "mm[Hg]", "mm[Hg]", 122, 11, 0)
DIASTOLIC = Measurement("8462-4", "Diastolic Blood Pressure", "mm[Hg]", "mm[Hg]", 77, 8, 0)

SCREENINGS = (
    COLONOSCOPY,
    Operation("428191000124101", "Documentation of current medications"),
    Operation("171207006", "Depression screening"),
    Operation("399014008", "Vaccination for diphtheria, pertussis, and tetanus"),
    Operation("268556000", "Urine screening for glucose"),
    Operation("23426006", "Measurement of respiratory function"),
)

FAMILIES = (
    "Abbott", "Alvarez", "Bauer", "Bennett", "Castro", "Chen", "Costa", "Dawson", "Diaz", "Ellis", "Fischer", "Flores",
    "Garcia", "Grant", "Haddad", "Hansen", "Hughes", "Ivanov", "Jensen", "Johnson", "Kaya", "Keller", "Kim", "Lambert",
    "Lopez", "Martin", "Meyer", "Moreau", "Nakamura", "Nguyen", "O'Brien", "Okafor", "Olsen", "Park", "Patel", "Petrov",
    "Quinn", "Reyes", "Rossi", "Sato", "Schäfer", "Silva", "Singh", "Suzuki", "Tanaka", "Thompson", "Torres", "Varga",
    "Vidal", "Walsh", "Weber", "Wilson", "Yilmaz", "Young", "Zhang", "Zimmermann",
)  # fmt: skip
GIVEN = {
    "male": (
        "Adam", "Ahmed", "Andre", "Ben", "Carlos", "Daniel", "David", "Elias", "Emil", "Frank", "George", "Hassan",
        "Henry", "Igor", "Ivan", "James", "Jonas", "José", "Karl", "Kenji", "Leo", "Lucas", "Marco", "Martin", "Mateo",
        "Noah", "Oliver", "Omar", "Paul", "Peter", "Ravi", "Robert", "Samuel", "Thomas", "Victor", "William",
    ),
    "female": (
        "Ada", "Aisha", "Alice", "Amira", "Anna", "Beatriz", "Carla", "Clara", "Diana", "Elena", "Emma", "Eva",
        "Fatima", "Grace", "Hana", "Helen", "Ingrid", "Irene", "Julia", "Karin", "Laura", "Leila", "Lucia", "Maria",
        "Marie", "Mei", "Nadia", "Nora", "Olivia", "Priya", "Rosa", "Sarah", "Sofía", "Teresa", "Yuki", "Zoë",
    ),
}  # fmt: skip
STREETS = (
    "Chestnut Street",
    "Elm Avenue",
    "Harbor Road",
    "High Street",
    "Lake View",
    "Main Street",
    "Mill Lane",
    "Station Road",
)
TOWNS = (
    ("Amherst", "MA", "01002"), ("Boston", "MA", "02115"), ("Concord", "NH", "03301"), ("Hartford", "CT", "06103"),
    ("Lowell", "MA", "01852"), ("Portland", "ME", "04101"), ("Providence", "RI", "02903"), ("Worcester", "MA", "01608"),
)  # fmt: skip
