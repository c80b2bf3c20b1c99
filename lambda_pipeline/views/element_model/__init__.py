"""The data of the FHIR versions that views are checked against, and the script that writes it."""
