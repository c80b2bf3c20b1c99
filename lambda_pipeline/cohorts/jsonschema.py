"""The JSON Schema of cohort definitions, for editors; docs/cohort.schema.json holds it."""

import json
from typing import Any

from lambda_pipeline.cohorts.definition import Cohort


def json_schema() -> dict[str, Any]:
    """The schema as mappings and lists."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/lambda-pipeline/cohort.schema.json",
        **Cohort.model_json_schema(),
    }


def json_schema_text() -> str:
    """The schema as it is checked in, with a newline at its end."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
