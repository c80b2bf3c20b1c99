"""The command `lambda-pipeline`: thin words over the packages that do the work."""

from lambda_pipeline.cli.program import main

__all__ = ["main"]
