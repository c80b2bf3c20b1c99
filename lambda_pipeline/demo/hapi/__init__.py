"""An imitation of the HAPI FHIR JPA server: it writes HAPI's tables, row by row, as the real server does.

Here belongs what HAPI does on a request. Patients and what happens to them belong in `demo.hospital`.
"""
