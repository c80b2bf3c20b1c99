"""Is the pipeline healthy (`status`), do its servers meet its needs (`preflight*`), are its answers correct (`parity`).

Here belongs what an operator asks about a running deployment. What a question needs to be answered does not: that is
`serving`. Why parity can be trusted as a test of the promise: `docs/guarantees.md`.
"""
