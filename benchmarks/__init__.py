"""Measurements of the pipeline on synthetic data, on servers of their own: `python -m benchmarks [names...]`.

Each reports how long things take against each other in one run, on one machine; nothing is asserted about time.
"""
