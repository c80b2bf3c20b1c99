"""Tests of lambda_pipeline.source."""
