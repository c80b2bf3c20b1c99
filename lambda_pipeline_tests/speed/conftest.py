"""The pipeline's own fixtures."""

from lambda_pipeline_tests.pipeline.conftest import make_world, world

__all__ = ["make_world", "world"]
