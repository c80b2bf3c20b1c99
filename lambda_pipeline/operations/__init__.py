"""Is the pipeline healthy (`status`), are its servers fit for it (`preflight`), and are its answers true (`parity`).

Here belongs what an operator asks about a running deployment. What a question needs to be answered does not: that is
`serving`. Why parity can be trusted as a test of the promise: `docs/guarantees.md`.
"""
