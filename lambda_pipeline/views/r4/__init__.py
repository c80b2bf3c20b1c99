"""The data of FHIR R4 that views are checked against, and the script that writes it."""
