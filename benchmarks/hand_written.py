"""The seven views as an engineer who knows PostgreSQL and this data would write them, to compare compiled SQL with.

The body is parsed once, and only what this data needs is checked. The compiler must emit more: it also handles an array
in place of a single value. The rows must equal those of the views.
"""

from psycopg import sql

SOURCE = """(SELECT -1 AS _partition, r.fhir_id::text AS _id, r.res_ver AS _version, v.res_text_vc::jsonb AS j
          FROM hfj_resource r JOIN hfj_res_ver v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
         WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL
        OFFSET 0)"""

PARSE_ONLY = f"SELECT count(s.j) FROM {SOURCE} s"
"""The lower bound: every body is parsed to jsonb and counted. Parameter `resource_type`."""

OBSERVATION_LABS = """
SELECT s._partition, s._id, s._version, s._id AS id,
       nullif(split_part(s.j -> 'subject' ->> 'reference', '/', 2), '') AS patient_id,
       s.j -> 'subject' ->> 'reference' AS patient_ref,
       nullif(split_part(s.j -> 'encounter' ->> 'reference', '/', 2), '') AS encounter_id,
       s.j ->> 'status' AS status,
       s.j -> 'category' -> 0 -> 'coding' -> 0 ->> 'code' AS category,
       loinc ->> 'code' AS loinc_code,
       loinc ->> 'display' AS loinc_display,
       s.j -> 'code' ->> 'text' AS code_text,
       s.j ->> 'effectiveDateTime' AS effective_date_time,
       s.j -> 'effectivePeriod' ->> 'start' AS effective_start,
       s.j -> 'effectivePeriod' ->> 'end' AS effective_end,
       (s.j ->> 'issued')::timestamptz AS issued,
       (s.j -> 'valueQuantity' ->> 'value')::numeric AS value_quantity,
       s.j -> 'valueQuantity' ->> 'comparator' AS value_comparator,
       s.j -> 'valueQuantity' ->> 'unit' AS value_unit,
       s.j -> 'valueQuantity' ->> 'code' AS value_unit_code,
       s.j -> 'valueCodeableConcept' ->> 'text' AS value_text,
       s.j ->> 'valueString' AS value_string,
       s.j -> 'valueCodeableConcept' -> 'coding' -> 0 ->> 'code' AS value_code,
       s.j -> 'valueCodeableConcept' -> 'coding' -> 0 ->> 'display' AS value_display,
       s.j -> 'interpretation' -> 0 -> 'coding' -> 0 ->> 'code' AS interpretation,
       (s.j -> 'referenceRange' -> 0 -> 'low' ->> 'value')::numeric AS reference_low,
       (s.j -> 'referenceRange' -> 0 -> 'high' ->> 'value')::numeric AS reference_high,
       s.j -> 'referenceRange' -> 0 ->> 'text' AS reference_text
  FROM {source} s
 CROSS JOIN LATERAL (
       SELECT jsonb_path_query_first(s.j, '$.code.coding[*] ? (@.system == "http://loinc.org")') OFFSET 0) c(loinc)
 WHERE s.j @? '$.category[*].coding[*] ? (@.code == "laboratory")'
   AND s.j ->> 'status' IN ('final', 'amended', 'corrected')"""

_CONDITION = """
SELECT s._partition, s._id, s._version, s._id AS id,
       nullif(split_part(s.j -> 'subject' ->> 'reference', '/', 2), '') AS patient_id,
       s.j -> 'subject' ->> 'reference' AS patient_ref,
       nullif(split_part(s.j -> 'encounter' ->> 'reference', '/', 2), '') AS encounter_id,
       s.j -> 'clinicalStatus' -> 'coding' -> 0 ->> 'code' AS clinical_status,
       s.j -> 'verificationStatus' -> 'coding' -> 0 ->> 'code' AS verification_status,
       s.j -> 'category' -> 0 -> 'coding' -> 0 ->> 'code' AS category,
       {own}
       s.j ->> 'onsetDateTime' AS onset_date_time,
       (s.j -> 'onsetAge' ->> 'value')::numeric AS onset_age,
       s.j -> 'onsetAge' ->> 'unit' AS onset_age_unit,
       s.j -> 'onsetPeriod' ->> 'start' AS onset_start,
       s.j -> 'onsetPeriod' ->> 'end' AS onset_end,
       s.j ->> 'abatementDateTime' AS abatement_date_time,
       (s.j -> 'abatementAge' ->> 'value')::numeric AS abatement_age,
       s.j -> 'abatementAge' ->> 'unit' AS abatement_age_unit,
       s.j -> 'abatementPeriod' ->> 'start' AS abatement_start,
       s.j -> 'abatementPeriod' ->> 'end' AS abatement_end,
       s.j ->> 'recordedDate' AS recorded_date
  FROM {source} s
  {codings}"""

_SIMPLE_COLUMNS = """s.j -> 'code' ->> 'text' AS code_text,
       snomed ->> 'code' AS snomed_code,
       snomed ->> 'display' AS snomed_display,
       icd10 ->> 'code' AS icd10_code,
       icd10 ->> 'display' AS icd10_display,"""

_SIMPLE_CODINGS = """CROSS JOIN LATERAL (
       SELECT jsonb_path_query_first(s.j, '$.code.coding[*] ? (@.system == "http://snomed.info/sct")'),
              jsonb_path_query_first(s.j, '$.code.coding[*] ? (@.system == "http://hl7.org/fhir/sid/icd-10-cm"
                                                               || @.system == "http://hl7.org/fhir/sid/icd-10")')
       OFFSET 0) c(snomed, icd10)"""

_DIAGNOSES_COLUMNS = """coalesce(c.position - 1, 0)::integer AS coding_index,
       coding ->> 'system' AS system,
       coding ->> 'code' AS code,
       coding ->> 'display' AS display,
       s.j -> 'code' ->> 'text' AS code_text,"""

_DIAGNOSES_CODINGS = """LEFT JOIN LATERAL jsonb_array_elements(s.j -> 'code' -> 'coding')
       WITH ORDINALITY c(coding, position) ON TRUE"""


PATIENT_DEMOGRAPHICS = """
SELECT s._partition, s._id, s._version, s._id AS id, s._id AS patient_id,
       (s.j -> 'active')::boolean AS active,
       s.j ->> 'gender' AS gender,
       s.j ->> 'birthDate' AS birth_date,
       s.j ? 'deceasedDateTime' OR coalesce((s.j -> 'deceasedBoolean')::boolean, FALSE) AS deceased,
       s.j ->> 'deceasedDateTime' AS deceased_at,
       s.j -> 'maritalStatus' -> 'coding' -> 0 ->> 'code' AS marital_status,
       name ->> 'family' AS family,
       name -> 'given' ->> 0 AS given,
       CASE WHEN name IS NOT NULL THEN coalesce(name -> 'given', '[]') END AS given_names,
       name -> 'prefix' ->> 0 AS prefix,
       phone ->> 'value' AS phone,
       email ->> 'value' AS email,
       address -> 'line' ->> 0 AS address_line,
       address -> 'line' ->> 1 AS address_line_2,
       address ->> 'city' AS city,
       address ->> 'state' AS state,
       address ->> 'postalCode' AS postal_code,
       address ->> 'country' AS country
  FROM {source} s
 CROSS JOIN LATERAL (
       SELECT jsonb_path_query_first(s.j, '$.name[*] ? (@.use == "official")'),
              jsonb_path_query_first(s.j, '$.telecom[*] ? (@.system == "phone")'),
              jsonb_path_query_first(s.j, '$.telecom[*] ? (@.system == "email")'),
              jsonb_path_query_first(s.j, '$.address[*] ? (@.use == "home" || !exists(@.use))')
       OFFSET 0) c(name, phone, email, address)"""

PATIENT_SIMPLE = """
SELECT s._partition, s._id, s._version, s._id AS id, s._id AS patient_id,
       s.j ->> 'gender' AS gender,
       s.j ->> 'birthDate' AS birth_date,
       (s.j -> 'active')::boolean AS active,
       s.j ? 'deceasedDateTime' OR coalesce((s.j -> 'deceasedBoolean')::boolean, FALSE) AS deceased,
       s.j -> 'name' -> 0 ->> 'family' AS family,
       s.j -> 'name' -> 0 -> 'given' ->> 0 AS given
  FROM {source} s"""

MEDICATION_REQUESTS = """
SELECT s._partition, s._id, s._version, s._id AS id,
       nullif(split_part(s.j -> 'subject' ->> 'reference', '/', 2), '') AS patient_id,
       s.j -> 'subject' ->> 'reference' AS patient_ref,
       nullif(split_part(s.j -> 'encounter' ->> 'reference', '/', 2), '') AS encounter_id,
       s.j ->> 'status' AS status,
       s.j ->> 'intent' AS intent,
       rxnorm ->> 'code' AS rxnorm_code,
       rxnorm ->> 'display' AS rxnorm_display,
       s.j -> 'medicationCodeableConcept' ->> 'text' AS medication_text,
       nullif(split_part(s.j -> 'medicationReference' ->> 'reference', '/', 2), '') AS medication_id,
       s.j ->> 'authoredOn' AS authored_on,
       s.j -> 'requester' ->> 'reference' AS requester_ref,
       s.j -> 'dosageInstruction' -> 0 ->> 'text' AS dosage_text
  FROM {source} s
 CROSS JOIN LATERAL (
       SELECT jsonb_path_query_first(
              s.j, '$.medicationCodeableConcept.coding[*] ? (@.system == "http://www.nlm.nih.gov/research/umls/rxnorm")')
       OFFSET 0) c(rxnorm)"""

PROCEDURE_HISTORY = """
SELECT s._partition, s._id, s._version, s._id AS id,
       nullif(split_part(s.j -> 'subject' ->> 'reference', '/', 2), '') AS patient_id,
       s.j -> 'subject' ->> 'reference' AS patient_ref,
       nullif(split_part(s.j -> 'encounter' ->> 'reference', '/', 2), '') AS encounter_id,
       s.j ->> 'status' AS status,
       snomed ->> 'code' AS snomed_code,
       snomed ->> 'display' AS snomed_display,
       s.j -> 'code' ->> 'text' AS code_text,
       s.j ->> 'performedDateTime' AS performed_date_time,
       s.j -> 'performedPeriod' ->> 'start' AS performed_start,
       s.j -> 'performedPeriod' ->> 'end' AS performed_end
  FROM {source} s
 CROSS JOIN LATERAL (
       SELECT jsonb_path_query_first(s.j, '$.code.coding[*] ? (@.system == "http://snomed.info/sct")')
       OFFSET 0) c(snomed)"""


def hand_written() -> dict[str, sql.Composed]:
    """Statements by view name, with the parameter `resource_type`; columns as in the views, with their keys."""
    source = sql.SQL(SOURCE)
    condition = sql.SQL(_CONDITION)
    return {
        "condition_diagnoses": condition.format(
            source=source, own=sql.SQL(_DIAGNOSES_COLUMNS), codings=sql.SQL(_DIAGNOSES_CODINGS)
        ),
        "condition_simple": condition.format(
            source=source, own=sql.SQL(_SIMPLE_COLUMNS), codings=sql.SQL(_SIMPLE_CODINGS)
        ),
        "medication_requests": sql.SQL(MEDICATION_REQUESTS).format(source=source),
        "observation_labs": sql.SQL(OBSERVATION_LABS).format(source=source),
        "patient_demographics": sql.SQL(PATIENT_DEMOGRAPHICS).format(source=source),
        "patient_simple": sql.SQL(PATIENT_SIMPLE).format(source=source),
        "procedure_history": sql.SQL(PROCEDURE_HISTORY).format(source=source),
    }
