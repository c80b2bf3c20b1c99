-- What is prescribed at present: active orders by drug, with how many patients they are for.
-- lambda-pipeline sql sql/queries/active_medications.sql --limit 10
SELECT m.rxnorm_code,
       min(m.rxnorm_display) AS drug,
       count(*) AS orders,
       count(DISTINCT m.patient_id) AS patients
  FROM medication_requests AS m
 WHERE m.status = 'active'
   AND m.intent IN ('order', 'original-order', 'instance-order', 'reflex-order', 'filler-order')
 GROUP BY m.rxnorm_code
 ORDER BY patients DESC, orders DESC, m.rxnorm_code
