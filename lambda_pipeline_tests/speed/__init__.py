"""Tests of lambda_pipeline.speed."""
