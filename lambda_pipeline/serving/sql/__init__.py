"""Which SQL text an analyst may run.

`tokens` reads it as PostgreSQL does, `parse` makes its tree, `guard` decides, `functions` lists what may be called.
"""
