"""What a developer's machine needs: embedded servers, and `lambda-pipeline dev`, which runs everything in one terminal.

Nothing in here runs in production: a deployment with configured URLs never imports it. `dev.py` is what `dev` and
`stop` do, `dagster_process.py` is Dagster as a process, `sample_data.py` is the content of the embedded source,
`processes.py` finds and stops processes, `urls.py` and `embedded/` are the servers.
"""
