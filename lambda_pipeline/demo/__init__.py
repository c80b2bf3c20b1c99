"""A source shaped like HAPI's own tables, with synthetic patients that keep changing.

Nothing outside this package depends on it but the commands that start the demo and the tests that need a source.
"""
