"""The batch layer: generations of views in PostgreSQL, built in full or refreshed, and published at once.

Public to the other layers: `generation.published`, `fill.Filler` with `view_tables` (one filler for builds and
recomputes), `key_comparison.compare_keys`. Start with `refresh.py`. Changes since a generation stand in `speed/`.
"""
