"""A source with HAPI's tables and synthetic patients that keep changing, and the story that `demo` shows with it.

Only the commands that start the demo, and tests that need a source, import this package.
"""
