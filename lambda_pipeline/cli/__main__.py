"""`python -m lambda_pipeline.cli`."""

from lambda_pipeline.cli.program import main

main()
