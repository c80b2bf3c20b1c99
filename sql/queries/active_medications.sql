-- @name: active_medications
-- @title: Active medication orders
-- @description: What is prescribed at present: active orders by drug, with how many patients they are for.
-- @version: 1.0.0
-- @status: active
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/medication_requests as medication_requests
-- lambda-pipeline sql active_medications --limit 10
SELECT m.rxnorm_code,
       min(m.rxnorm_display) AS drug,
       count(*) AS orders,
       count(DISTINCT m.patient_id) AS patients
  FROM medication_requests AS m
 WHERE m.status = 'active'
   AND m.intent IN ('order', 'original-order', 'instance-order', 'reflex-order', 'filler-order')
 GROUP BY m.rxnorm_code
 ORDER BY patients DESC, orders DESC, m.rxnorm_code
