"""View definitions of the tests, and a question over two of them."""

PATIENTS = {
    "resourceType": "ViewDefinition",
    "name": "patients",
    "status": "active",
    "resource": "Patient",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "gender", "path": "gender", "type": "code"},
                {"name": "birth_date", "path": "birthDate", "type": "date"},
                {"name": "family", "path": "name.family.first()", "type": "string"},
            ]
        }
    ],
}
GIVEN_NAMES = {
    "resourceType": "ViewDefinition",
    "name": "given_names",
    "status": "active",
    "resource": "Patient",
    "select": [
        {
            "column": [{"name": "patient_id", "path": "getResourceKey()", "type": "id"}],
            "select": [{"forEach": "name.given", "column": [{"name": "given", "path": "$this", "type": "string"}]}],
        }
    ],
}
CONDITIONS = {
    "resourceType": "ViewDefinition",
    "name": "conditions",
    "status": "active",
    "resource": "Condition",
    "where": [
        {
            "path": "verificationStatus.coding.where(code = 'entered-in-error').empty()",
        }
    ],
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "patient_id", "path": "subject.getReferenceKey(Patient)", "type": "id"},
                {"name": "code", "path": "code.coding.code.first()", "type": "code"},
            ]
        }
    ],
}
HEIGHTS = {
    "resourceType": "ViewDefinition",
    "name": "heights",
    "status": "active",
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "patient_id", "path": "subject.getReferenceKey(Patient)", "type": "id"},
                {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
                {"name": "profile", "path": "meta.profile", "type": "canonical", "collection": True},
            ]
        }
    ],
}
DEFINITIONS = (PATIENTS, GIVEN_NAMES, CONDITIONS, HEIGHTS)
MALE_DIABETICS = """
SELECT DISTINCT p.id
  FROM patients p JOIN conditions c ON c.patient_id = p.id
 WHERE p.gender = 'male' AND c.code = '44054006'
"""
