-- @name: male_diabetics
-- @title: Men with diabetes
-- @description: Men with diabetes mellitus, type 1 or 2; diagnoses that were entered in error do not count.
-- @version: 1.0.0
-- @status: active
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/patient_demographics as patient_demographics
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/condition_simple as condition_simple
-- lambda-pipeline sql male_diabetics --count
SELECT p.patient_id, p.gender, p.birth_date
  FROM patient_demographics AS p
 WHERE p.gender = 'male'
   AND EXISTS (SELECT 1
                 FROM condition_simple AS c
                WHERE c.patient_id = p.patient_id
                  AND c.snomed_code IN ('44054006', '46635009')
                  AND c.verification_status IS DISTINCT FROM 'entered-in-error')
 ORDER BY p.patient_id
