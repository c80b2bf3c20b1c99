"""The command `lambda-pipeline`: thin commands over the packages that do the work.

Reading options, printing results and exit codes belong here; each module is one command, or a few that share a subject.
"""

from lambda_pipeline.cli.program import main

__all__ = ["main"]
