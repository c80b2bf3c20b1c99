"""Benchmarks of the pipeline on synthetic data and servers of their own: `python -m benchmarks [names...]`.

Each compares times measured in one run on one machine; no test asserts a time.
"""
