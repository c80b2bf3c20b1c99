-- @name: poorly_controlled_diabetes
-- @title: Poorly controlled type 2 diabetes
-- @description: Patients with type 2 diabetes whose latest HbA1c is above a threshold, with that result.
-- @version: 1.0.0
-- @status: active
-- @param: threshold decimal Percent; 6.5 to 8 are usual. (example: 7)
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/observation_labs as observation_labs
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/patient_demographics as patient_demographics
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/condition_simple as condition_simple
-- lambda-pipeline sql poorly_controlled_diabetes --param threshold=8
-- Results in other units than percent are left out: they would need converting first.
WITH hba1c AS (
    SELECT DISTINCT ON (l.patient_id)
           l.patient_id, l.value_quantity, l.effective_date_time
      FROM observation_labs AS l
     WHERE l.loinc_code = '4548-4' AND l.value_unit_code = '%' AND l.value_quantity IS NOT NULL
     ORDER BY l.patient_id, CAST(l.effective_date_time AS timestamptz) DESC NULLS LAST, l.id
)
SELECT p.patient_id, p.gender, p.birth_date, h.value_quantity AS hba1c_percent, h.effective_date_time AS measured
  FROM hba1c AS h
  JOIN patient_demographics AS p ON p.patient_id = h.patient_id
 WHERE h.value_quantity > CAST(:threshold AS numeric)
   AND NOT p.deceased
   AND EXISTS (SELECT 1
                 FROM condition_simple AS c
                WHERE c.patient_id = p.patient_id
                  AND c.snomed_code = '44054006'
                  AND c.verification_status IS DISTINCT FROM 'entered-in-error')
 ORDER BY h.value_quantity DESC, p.patient_id
