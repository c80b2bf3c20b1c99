"""`views new`: a definition that an author can start from, for every resource type."""

import json

import pytest

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.views import find_warnings, lint
from lambda_pipeline.views.fhir_types import VERSIONS, FhirVersion
from lambda_pipeline.views.scaffold import MAX_COLUMNS, scaffold


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_the_scaffold_of_every_resource_type_is_accepted_without_warning(version: FhirVersion) -> None:
    for resource_type in version.resource_types():
        text = json.dumps(scaffold(resource_type, version=version.name))
        assert not lint(text, resource_type)
        assert not find_warnings(text, resource_type)


def test_a_scaffold_is_short_and_joins_to_its_patient() -> None:
    view = scaffold("Immunization")
    columns = {column["name"]: column["path"] for column in view["select"][0]["column"]}
    assert list(columns)[:3] == ["id", "patient_id", "status"]
    assert columns["patient_id"] == "patient.getReferenceKey(Patient)"
    assert columns["vaccine_code"] == "vaccineCode.coding.first().code"
    assert columns["occurrence_date_time"] == "occurrence.ofType(dateTime)"
    assert len(columns) <= MAX_COLUMNS
    assert (view["name"], view["fhirVersion"]) == ("immunization", ["4.0.1"])
    assert scaffold("Immunization", name="shots")["name"] == "shots"


def test_a_misspelt_type_has_a_suggestion() -> None:
    with pytest.raises(BadRequestError, match="did you mean Immunization"):
        scaffold("Imunization")
