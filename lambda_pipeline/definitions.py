"""The Dagster code location that `workspace.yaml` names: every definition of the deployment in the environment."""

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import load_settings

defs = build_definitions(load_settings())
