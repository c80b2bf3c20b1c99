"""The model: random histories of HAPI, of the product and of what goes wrong, judged by an independent oracle.

A history (`steps`) is drawn by Hypothesis and run (`machine`) against embedded PostgreSQL and Valkey. What HAPI's
clients do (`clients`) goes to the demo source and, by its own rules, to the oracle (`hapi`, `oracle`), which shares no
code with the compiler and reads no table. What the product does (`product`) is its own poll, refresh, prune and query
code, held up at any call to a server (`pausing`), cut off or killed there (`faults`). After each step every view, in
every mode, and a cohort over three views must equal the oracle at the frontier that is stated, or be refused with a
reason (`checks`).

`campaign` runs many histories on all cores: the tests' profile, and `python -m lambda_pipeline_tests.model`, which
`make soak` calls. A history that fails is printed as a short script that the same command replays.
"""
