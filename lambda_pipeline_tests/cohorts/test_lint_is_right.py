"""What lint calls impossible or always true is so: random definitions are read a second time over random rows."""

from pathlib import Path
from random import Random
from typing import Any

from lambda_pipeline.cohorts.document import parse_cohort
from lambda_pipeline.cohorts.lint import lint_cohort, read_code_sets
from lambda_pipeline.views import compile_view
from lambda_pipeline_tests.cohorts.definitions import random_definition, random_where
from lambda_pipeline_tests.cohorts.evaluator import Evaluator
from lambda_pipeline_tests.cohorts.people import VIEWS, resources
from lambda_pipeline_tests.cohorts.test_random_definitions import CODES, write_code_sets

Json = dict[str, Any]
PERSON = {"view": "people", "id": "pid", "birth_date": "born", "sex": "sex"}
COMPILED = {view.name: view for view in map(compile_view, VIEWS)}


def rows(rng: Random) -> dict[str, list[Json]]:
    """Rows as the views of `people` give them, without a database; instants are left out."""
    people, results, illnesses = [], [], []
    for resource in resources(rng, persons=25):
        reference = resource.get("subject", {}).get("reference", "").removeprefix("Patient/") or None
        if resource["resourceType"] == "Patient":
            people.append({
                "pid": resource["id"], "sex": resource.get("gender"), "born": resource.get("birthDate"),
                "active": resource.get("active"), "married": resource.get("multipleBirthInteger"),
                "names": resource.get("name", [{"given": None}])[0]["given"],
            })  # fmt: skip
        elif resource["resourceType"] == "Observation":
            quantity = resource.get("valueQuantity", {})
            results.append({
                "patient_id": reference, **resource["code"]["coding"][0], "at": resource.get("effectiveDateTime"),
                "issued": None, "amount": quantity.get("value"), "unit": quantity.get("code"),
                "note": resource.get("note", [{"text": None}])[0]["text"],
            })  # fmt: skip
        else:
            dates = {"onset": resource.get("onsetDateTime"), "recorded": resource.get("recordedDate")}
            codings = resource.get("code", {}).get("coding", [{"system": None, "code": None}])
            illnesses += [{"whose": reference, **dates, **coding} for coding in codings]
    return {"people": people, "results": results, "illnesses": illnesses}


def test_comparisons_that_contradict_each_other_match_no_row(tmp_path: Path) -> None:
    rng = Random("contradictions")
    pins = write_code_sets(tmp_path)
    world = rows(rng)
    found = matched = 0
    for _ in range(2_000):
        criterion = random_where(rng, comparisons=rng.randint(2, 3))
        used = {name: pin for name, pin in pins.items() if f"'{name}'" in repr(criterion)}
        document = {
            "name": "x",
            "person": PERSON,
            "code_sets": used,
            "rules": [{"name": "x", "match": "ALL", "members": [criterion]}],
        }
        cohort = parse_cohort(document)
        codes = {each.code for each in lint_cohort(cohort, COMPILED, read_code_sets(cohort, tmp_path))}
        evaluator = Evaluator(document, world, CODES)
        sure = [all(evaluator.compare(each, row)[0] for each in criterion["where"]) for row in world[criterion["view"]]]
        found += "contradiction" in codes
        matched += any(sure)
        assert not ("contradiction" in codes and any(sure)), criterion
    assert found > 50
    assert matched > 200


def test_rules_that_contradict_each_other_keep_nobody(tmp_path: Path) -> None:
    rng = Random("rules")
    pins = write_code_sets(tmp_path)
    world = rows(rng)
    found = 0
    for _ in range(3_000):
        document = random_definition(rng, pins)
        cohort = parse_cohort(document)
        findings = lint_cohort(cohort, COMPILED, read_code_sets(cohort, tmp_path))
        if "contradicting-rules" in {finding.code for finding in findings}:
            found += 1
            assert not Evaluator(document, world, CODES).evaluate().persons, document
    assert found > 10


def test_nothing_like_the_index_is_before_the_first_or_after_the_last(tmp_path: Path) -> None:
    rng = Random("windows")
    pins = write_code_sets(tmp_path)
    world = rows(rng)
    found = 0
    while found < 150:
        index = random_where(rng, comparisons=rng.randint(0, 1))
        if index["view"] == "people":
            continue
        event, window = rng.choice((("first", {"before": -1}), ("last", {"after": 1})))
        member = {**index, "where": [*index["where"], *random_where(rng, comparisons=0)["where"]], "window": window}
        document = {
            "name": "x", "person": PERSON, "index": {**index, "event": event},
            "code_sets": {name: pin for name, pin in pins.items() if f"'{name}'" in repr(index)},
            "rules": [{"name": "x", "match": "ALL", "members": [member]}], "breakdown": {"age_bands": []},
        }  # fmt: skip
        cohort = parse_cohort(document)
        codes = {finding.code for finding in lint_cohort(cohort, COMPILED, read_code_sets(cohort, tmp_path))}
        assert "empty-window" in codes
        found += 1
        assert not Evaluator(document, world, CODES).evaluate().persons, document
