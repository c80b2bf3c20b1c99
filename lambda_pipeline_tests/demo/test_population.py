"""The synthetic population, one day in it, and random changes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.cohort import (
    deleted_patients,
    find_patients_with_diabetes,
    is_diabetes,
    verification_status,
)
from lambda_pipeline.demo.hospital.day import LABORATORY_RESULTS, keep_changing, simulate_day
from lambda_pipeline.demo.hospital.population import generate, populate
from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline_tests.support.clocks import Rows

Json = dict[str, Any]


@pytest.fixture(scope="module")
def resources() -> list[Json]:
    return list(generate())


@pytest.fixture
def populated(demo: DemoHapi) -> DemoHapi:
    populate(demo, patients=120)
    return demo


def of_type(resources: list[Json], resource_type: str) -> list[Json]:
    return [resource for resource in resources if resource["resourceType"] == resource_type]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "reference" in value:
            yield value["reference"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_same_seed_gives_the_same_population(resources: list[Json]) -> None:
    first = list(generate(patients=20))
    assert first == resources[: len(first)]
    assert first != list(generate(patients=20, seed=1))


def test_ids_are_unique_and_references_lead_back(resources: list[Json]) -> None:
    known: set[str] = set()
    for resource in resources:
        assert known.issuperset(references(resource))
        known.add(f"{resource['resourceType']}/{resource['id']}")
    assert len(known) == len(resources)
    assert 20_000 < len(resources) < 30_000


def test_frequencies_look_real(resources: list[Json]) -> None:
    patients, conditions = of_type(resources, "Patient"), of_type(resources, "Condition")
    assert len(patients) == 1_000
    have = {text: {c["subject"]["reference"] for c in conditions if c["code"]["text"] == text} for text in
            ("Hypertension", "Type 2 diabetes mellitus")}  # fmt: skip
    diabetes = {condition["subject"]["reference"] for condition in conditions if is_diabetes(condition)}
    assert 90 <= len(diabetes) <= 130
    assert 220 <= len(have["Hypertension"]) <= 330
    assert set(Counter(patient["gender"] for patient in patients)) == {"male", "female", "other", "unknown"}


def test_long_term_sugar_follows_diabetes(resources: list[Json]) -> None:
    diabetes = {c["subject"]["reference"] for c in of_type(resources, "Condition") if is_diabetes(c)}
    values: dict[bool, list[Decimal]] = {True: [], False: []}
    for observation in of_type(resources, "Observation"):
        if observation["code"]["coding"][0]["code"] == "4548-4":
            values[observation["subject"]["reference"] in diabetes].append(observation["valueQuantity"]["value"])
    assert sum(values[True]) / len(values[True]) > 7
    assert sum(values[False]) / len(values[False]) < 6


def test_there_is_what_views_get_wrong(resources: list[Json]) -> None:
    patients = of_type(resources, "Patient")
    official = [p for p in patients if any(name.get("use") == "official" for name in p.get("name", ()))]
    assert 0 < len(patients) - len(official) < 60
    assert any("address" not in patient for patient in patients)
    assert any("telecom" not in patient for patient in patients)
    assert any("deceasedDateTime" in patient for patient in patients)
    assert {len(patient["birthDate"]) for patient in patients} == {4, 7, 10}
    conditions = of_type(resources, "Condition")
    assert {verification_status(condition) for condition in conditions} == {
        None, "confirmed", "provisional", "entered-in-error",
    }  # fmt: skip
    onsets = {name for condition in conditions for name in condition if name.startswith("onset")}
    assert onsets == {"onsetDateTime", "onsetAge", "onsetPeriod"}
    observations = of_type(resources, "Observation")
    assert {name for o in observations for name in o if name.startswith("value")} == {
        "valueQuantity", "valueString", "valueCodeableConcept",
    }  # fmt: skip
    assert {o["status"] for o in observations} >= {"final", "amended", "corrected", "preliminary", "entered-in-error"}


def test_the_source_begins_with_one_deleted_man_with_diabetes(populated: DemoHapi, rows: Rows) -> None:
    (deleted,) = deleted_patients(populated)
    assert deleted not in find_patients_with_diabetes(populated, gender="male")
    bodies = rows(
        "SELECT v.res_text_vc FROM hfj_res_ver v JOIN hfj_resource r USING (res_id)"
        " WHERE v.res_ver = 1 AND r.res_deleted_at IS NOT NULL AND v.res_type IN ('Patient', 'Condition')"
    )
    assert any('"gender":"male"' in text for (text,) in bodies)
    assert any("diabetes" in text for (text,) in bodies)


def test_a_source_with_resources_is_not_populated_again(populated: DemoHapi) -> None:
    with pytest.raises(ConfigurationError, match="not empty"):
        populate(populated, patients=120)


def test_a_day_adds_five_men_with_diabetes_and_removes_one(populated: DemoHapi, rows: Rows) -> None:
    before = set(find_patients_with_diabetes(populated, gender="male"))
    (deleted,) = deleted_patients(populated)
    events = simulate_day(populated, seed=4)
    after = set(find_patients_with_diabetes(populated, gender="male"))
    added, removed = after - before, before - after
    assert len(added) == 5
    assert len(removed) == 1
    assert deleted in added
    assert len(events) == 7
    assert all(any(f"Patient/{patient}" in line for line in events) for patient in added | removed)
    (gone,) = deleted_patients(populated)
    assert gone in removed
    results = "SELECT count(*) FROM hfj_resource WHERE res_type = 'Observation' AND fhir_id = res_id::text"
    assert rows(results) == [(LABORATORY_RESULTS + 2,)]


def test_the_same_day_happens_to_the_same_patients(populated: DemoHapi, new_database: Callable[[], str]) -> None:
    twin = DemoHapi(Database(new_database()))
    populate(twin, patients=120)
    assert simulate_day(twin, seed=4) == simulate_day(populated, seed=4)
    twin.database.close()


def test_a_day_follows_another(populated: DemoHapi) -> None:
    simulate_day(populated, seed=1)
    (deleted,) = deleted_patients(populated)
    simulate_day(populated, seed=2)
    assert deleted_patients(populated) != [deleted]


def test_a_day_needs_the_population(demo: DemoHapi) -> None:
    with pytest.raises(ConfigurationError, match="men with diabetes"):
        simulate_day(demo)


def test_changes_go_on_until_stopped(populated: DemoHapi, rows: Rows) -> None:
    ((before,),) = rows("SELECT count(*) FROM hfj_res_ver")
    stop, made = threading.Event(), []
    thread = threading.Thread(target=lambda: made.append(keep_changing(populated, 7, stop, per_second=200)))
    thread.start()
    time.sleep(2)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    ((after,),) = rows("SELECT count(*) FROM hfj_res_ver")
    assert after - before >= made[0] > 20
