-- Men with diabetes mellitus, type 1 or 2; diagnoses that were entered in error do not count.
-- lambda-pipeline sql sql/queries/male_diabetics.sql --count
SELECT p.patient_id, p.gender, p.birth_date
  FROM patient_demographics AS p
 WHERE p.gender = 'male'
   AND EXISTS (SELECT 1
                 FROM condition_simple AS c
                WHERE c.patient_id = p.patient_id
                  AND c.snomed_code IN ('44054006', '46635009')
                  AND c.verification_status IS DISTINCT FROM 'entered-in-error')
 ORDER BY p.patient_id
