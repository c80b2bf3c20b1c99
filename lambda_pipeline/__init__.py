"""Lambda architecture over a HAPI FHIR server: batch views, a speed layer, and answers that merge both."""
