"""The elements of the resource types the demo holds, in the order of FHIR R4, which is the order HAPI serialises in."""

DOMAIN_RESOURCE = ("implicitRules", "language", "text", "contained", "extension", "modifierExtension")

ELEMENTS: dict[str, tuple[str, ...]] = {
    "Patient": (
        "identifier", "active", "name", "telecom", "gender", "birthDate", "deceased[x]", "address", "maritalStatus",
        "multipleBirth[x]", "photo", "contact", "communication", "generalPractitioner", "managingOrganization", "link",
    ),
    "Condition": (
        "identifier", "clinicalStatus", "verificationStatus", "category", "severity", "code", "bodySite", "subject",
        "encounter", "onset[x]", "abatement[x]", "recordedDate", "recorder", "asserter", "stage", "evidence", "note",
    ),
    "Observation": (
        "identifier", "basedOn", "partOf", "status", "category", "code", "subject", "focus", "encounter",
        "effective[x]", "issued", "performer", "value[x]", "dataAbsentReason", "interpretation", "note", "bodySite",
        "method", "specimen", "device", "referenceRange", "hasMember", "derivedFrom", "component",
    ),
    "Encounter": (
        "identifier", "status", "statusHistory", "class", "classHistory", "type", "serviceType", "priority", "subject",
        "episodeOfCare", "basedOn", "participant", "appointment", "period", "length", "reasonCode", "reasonReference",
        "diagnosis", "account", "hospitalization", "location", "serviceProvider", "partOf",
    ),
    "MedicationRequest": (
        "identifier", "status", "statusReason", "intent", "category", "priority", "doNotPerform", "reported[x]",
        "medication[x]", "subject", "encounter", "supportingInformation", "authoredOn", "requester", "performer",
        "performerType", "recorder", "reasonCode", "reasonReference", "instantiatesCanonical", "instantiatesUri",
        "basedOn", "groupIdentifier", "courseOfTherapyType", "insurance", "note", "dosageInstruction",
        "dispenseRequest", "substitution", "priorPrescription", "detectedIssue", "eventHistory",
    ),
    "Procedure": (
        "identifier", "instantiatesCanonical", "instantiatesUri", "basedOn", "partOf", "status", "statusReason",
        "category", "code", "subject", "encounter", "performed[x]", "recorder", "asserter", "performer", "location",
        "reasonCode", "reasonReference", "bodySite", "outcome", "report", "complication", "complicationDetail",
        "followUp", "note", "focalDevice", "usedReference", "usedCode",
    ),
}  # fmt: skip
