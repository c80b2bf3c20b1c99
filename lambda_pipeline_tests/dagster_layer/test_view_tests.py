"""Tests of views as asset checks of their batch assets, and a broken contract as Dagster shows it."""

import dagster as dg

from lambda_pipeline_tests.dagster_layer.test_checks import BATCH, ERROR, WARN, result
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site

TESTS = """
unique: [id]
accepted_values: {gender: [male]}
row_count: {max_change_percent: 10}
examples:
  - {name: a man, resource: {resourceType: Patient, id: x, gender: male}, rows: [{id: x, gender: male}]}
  - {name: a woman, resource: {resourceType: Patient, id: y, gender: female}, rows: [{id: y, gender: swordfish}]}
"""


def test_each_test_is_a_check_and_runs_with_every_refresh(night: Site) -> None:
    night.define(PATIENTS, CONDITIONS, tests=TESTS)
    night.demo.update(patient("d", "female"))
    run = night.refresh()
    assert run.success, "a test that fails takes nothing back"
    assert result(night, BATCH, "test_unique_id")[:2] == (True, ERROR)
    passed, severity, metadata = result(night, BATCH, "test_accepted_values_gender")
    assert (passed, severity) == (False, ERROR)
    assert (metadata["rows"], metadata["resources"]) == (2, "Patient/c, Patient/d")
    passed, _, metadata = result(night, BATCH, "test_row_count")
    assert (passed, metadata["rows"]) == (False, 1)
    passed, _, metadata = result(night, BATCH, "test_examples")
    assert (passed, metadata["tests"], metadata["problem"]) == (False, 2, "example a woman: differs in gender")
    assert "swordfish" not in "\n".join(str(event) for event in run.all_events)


def test_a_file_may_make_its_tests_warnings_and_checks_run_alone(night: Site) -> None:
    night.define(PATIENTS, CONDITIONS, tests="severity: warn\naccepted_values: {gender: [male]}\n")
    job = night.definitions.resolve_implicit_global_asset_job_def()
    check = dg.AssetCheckKey(BATCH, "test_accepted_values_gender")
    run = job.get_subset(asset_check_selection={check}, asset_selection=set()).execute_in_process(
        instance=night.instance, raise_on_error=False
    )
    assert run.success
    assert result(night, BATCH, "test_accepted_values_gender")[:2] == (False, WARN)
    generation = night.deployment.serving.generation()
    assert generation is not None
    assert generation.number == 1


def test_a_broken_contract_fails_the_run_and_the_definition_of_its_view(night: Site) -> None:
    night.define(PATIENTS, CONDITIONS, tests="contract: {enforced: true, columns: {id: text, death: date}}")
    assert not night.refresh().success
    passed, severity, metadata = result(night, BATCH, "definition")
    assert (passed, severity) == (False, ERROR)
    assert "$.contract.columns.death" in metadata["problem"]
    assert result(night, dg.AssetKey(["batch", "conditions"]), "definition")[0]
