-- @name: diabetes_without_hypertension
-- @title: Diabetes without hypertension
-- @description: Patients with type 2 diabetes and no record of hypertension.
-- @version: 1.0.0
-- @status: active
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/patient_demographics as patient_demographics
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/condition_simple as condition_simple
-- lambda-pipeline sql diabetes_without_hypertension --count
SELECT p.patient_id, p.gender, p.birth_date
  FROM patient_demographics AS p
 WHERE EXISTS (SELECT 1
                 FROM condition_simple AS c
                WHERE c.patient_id = p.patient_id
                  AND c.snomed_code = '44054006'
                  AND c.verification_status IS DISTINCT FROM 'entered-in-error')
   AND NOT EXISTS (SELECT 1
                     FROM condition_simple AS c
                    WHERE c.patient_id = p.patient_id
                      AND c.snomed_code IN ('38341003', '59621000')
                      AND c.verification_status IS DISTINCT FROM 'entered-in-error')
 ORDER BY p.patient_id
