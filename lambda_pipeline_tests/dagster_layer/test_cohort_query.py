"""The job `cohort_query`: a definition as a run, with counts and without ids."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline_tests.dagster_layer.test_no_values_leave import files_with
from lambda_pipeline_tests.support.hospital import condition, patient
from lambda_pipeline_tests.support.worlds import Site

DEFINITION: dict[str, Any] = {
    "name": "Men with diabetes",
    "person": {"view": "patients", "id": "id", "birth_date": "birth_date", "sex": "gender"},
    "rules": [
        {"name": "Men", "match": "ALL", "members": [{"sex": ["male"]}]},
        {
            "name": "Diabetes",
            "match": "ALL",
            "members": [{"view": "conditions", "where": [{"column": "code", "operator": "eq", "value": "44054006"}]}],
        },
    ],
}


def output(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_an_inline_definition_is_counted(night: Site) -> None:
    night.setenv("LAMBDA_PIPELINE_DISCLOSURE_MIN_CELL", "0")
    night.demo.update(patient("d"))
    night.demo.update(condition("dm-d", "d"))
    night.tick()
    result = night.run("cohort_query", {"definition": DEFINITION})
    assert result.success
    metadata = output(result)
    assert (metadata["persons"], metadata["mode"]) == (3, "live")
    assert [record.data["remaining"] for record in metadata["attrition"].records] == ["4", "3", "3"]
    assert [record.data for record in metadata["breakdown"].records] == [{"sex": "male", "age": "", "persons": "3"}]
    assert output(night.run("cohort_query", {"definition": DEFINITION, "mode": "batch"}))["persons"] == 2


def test_a_file_is_asked_by_its_name(night: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cohorts"
    folder.mkdir()
    (folder / "all.yaml").write_text(
        "name: All\nperson: {view: patients, id: id}\nrules:\n"
        "  - {name: Known, match: ALL, members: [{sex: [male, female]}]}\n"
    )
    night.setenv("LAMBDA_PIPELINE_COHORTS", str(folder))
    result = night.run("cohort_query", {"cohort": "all"})
    assert result.success
    metadata = output(result)
    assert metadata["persons"] == "<11", "small counts do not leave a job unless somebody wants that"
    assert {record.data["persons"] for record in metadata["breakdown"].records} == {"<11"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "state either cohort or definition"),
        ({"cohort": "missing"}, "'missing.yaml' cannot be read"),
        ({"cohort": "../secrets"}, "letters, digits"),
        ({"definition": {**DEFINITION, "rule": []}}, "$.rule: is not a key here (did you mean rules?)"),
    ],
)
def test_what_is_no_definition_is_refused_before_a_run_exists(night: Site, config: Any, reason: str) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError) as raised:
        night.run("cohort_query", config)
    assert reason in str(raised.value)


def test_a_definition_that_cannot_be_answered_fails_by_name(night: Site) -> None:
    rules = [{"name": "x", "match": "ALL", "members": [{"view": "condition", "person": "patient_id"}]}]
    result = night.run("cohort_query", {"definition": {**DEFINITION, "rules": rules}})
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data is not None
    metadata = failed.step_failure_data.user_failure_data.metadata
    assert metadata["error"].value == "cohort-definition"
    assert "did you mean conditions?" in str(metadata["reason"].value)


def test_a_run_keeps_no_id_of_a_person(night: Site, tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    night.instance = dg.DagsterInstance.local_temp(str(tmp_path / "instance"))
    night.demo.update(patient("somebody-very-special"))
    night.demo.update(condition("dm-s", "somebody-very-special"))
    night.tick()
    night.setenv("LAMBDA_PIPELINE_DISCLOSURE_MIN_CELL", "0")
    assert output(night.run("cohort_query", {"definition": DEFINITION}))["persons"] == 3
    assert not files_with("somebody-very-special", tmp_path / "instance")
