-- @name: procedures_since
-- @title: Procedures since a date
-- @description: Completed procedures that began on a date or later, by procedure.
-- @version: 1.0.0
-- @status: active
-- @param: since date The first day; a year or month alone counts as its first moment. (example: 2020-01-01)
-- @relatedDependency: https://example.org/lambda-pipeline/ViewDefinition/procedure_history as procedure_history
-- lambda-pipeline sql procedures_since --param since=2025-01-01
-- FHIR times keep their precision as text and are compared by their date; a year or month alone counts as its first moment.
SELECT p.snomed_code,
       min(p.snomed_display) AS procedure,
       count(*) AS procedures,
       count(DISTINCT p.patient_id) AS patients
  FROM procedure_history AS p
 WHERE p.status = 'completed'
   AND left(coalesce(p.performed_date_time, p.performed_start), 10) >= :since
 GROUP BY p.snomed_code
 ORDER BY procedures DESC, p.snomed_code
