"""An imitation of HAPI's persistence, on which the demo and the tests rest; it is not a FHIR server.

It writes HAPI's tables row by row as HAPI FHIR JPA 8.8 does, and on demand it does what a real server does rarely:
commit late, use a skewed clock, leave no trace of a change. A test replays requests that were recorded on a real server
and compares all rows (`lambda_pipeline_tests/demo/test_replay.py`).

Here belongs what HAPI does on a request. Patients and what happens to them belong in `demo.hospital`; rows that no
request leaves belong in `lambda_pipeline_tests/hapi`.
"""
