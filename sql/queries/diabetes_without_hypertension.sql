-- Patients with type 2 diabetes and no record of hypertension.
-- lambda-pipeline sql sql/queries/diabetes_without_hypertension.sql --count
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
