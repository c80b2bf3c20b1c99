"""The Dagster code location of `workspace.yaml`: every definition of the environment's deployment, in one place."""

from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import load_settings

defs = build_definitions(load_settings())
