-- @name: diabetes_by_age
-- @title: Patients with diabetes by age and gender
-- @description: Living patients with diabetes by age in years on the index date, and by gender.
-- @version: 1.0.0
-- @status: active
-- @param: index_date date The day on which ages are counted. (example: 2026-01-01)
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/patient_demographics as patient_demographics
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/condition_simple as condition_simple
-- lambda-pipeline sql diabetes_by_age --param index_date=2026-01-01
-- The age is that of the index date, not of the day of the question, and only whole birth dates tell it.
WITH aged AS (
    SELECT p.gender,
           extract(year FROM age(CAST(:index_date AS date), CAST(p.birth_date AS date))) AS age
      FROM patient_demographics AS p
     WHERE NOT p.deceased
       AND length(p.birth_date) = 10
       AND EXISTS (SELECT 1
                     FROM condition_simple AS c
                    WHERE c.patient_id = p.patient_id
                      AND c.snomed_code IN ('44054006', '46635009')
                      AND c.verification_status IS DISTINCT FROM 'entered-in-error')
)
SELECT CASE WHEN a.age < 18 THEN '0-17' WHEN a.age < 45 THEN '18-44' WHEN a.age < 65 THEN '45-64' ELSE '65+' END AS age_group,
       a.gender,
       count(*) AS patients
  FROM aged AS a
 GROUP BY 1, 2
 ORDER BY 1, 2
