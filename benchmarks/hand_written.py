"""Three of the views as an engineer who knows PostgreSQL and this data would write them: the measure for compiled SQL.

The body is parsed once; nothing is checked that the data at hand does not need. So they are shorter than what the
compiler may emit, which must also see an array where one value belongs. Their rows must equal those of the views.
"""

from psycopg import sql

SOURCE = """(SELECT -1 AS _partition, r.fhir_id::text AS _id, r.res_ver AS _version, v.res_text_vc::jsonb AS j
          FROM hfj_resource r JOIN hfj_res_ver v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
         WHERE r.res_type = %(resource_type)s AND r.res_deleted_at IS NULL
        OFFSET 0)"""

PARSE_ONLY = f"SELECT count(s.j) FROM {SOURCE} s"
"""The floor: every body becomes jsonb, and nothing is done with it. Parameter `resource_type`."""

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


def hand_written() -> dict[str, sql.Composed]:
    """Statements by view name, with the parameter `resource_type`; the same columns as the views, keys included."""
    source = sql.SQL(SOURCE)
    condition = sql.SQL(_CONDITION)
    return {
        "observation_labs": sql.SQL(OBSERVATION_LABS).format(source=source),
        "condition_simple": condition.format(
            source=source, own=sql.SQL(_SIMPLE_COLUMNS), codings=sql.SQL(_SIMPLE_CODINGS)
        ),
        "condition_diagnoses": condition.format(
            source=source, own=sql.SQL(_DIAGNOSES_COLUMNS), codings=sql.SQL(_DIAGNOSES_CODINGS)
        ),
    }
