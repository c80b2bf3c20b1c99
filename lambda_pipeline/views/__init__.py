"""SQL on FHIR: a ViewDefinition becomes a validated model, typed trees, and one PostgreSQL SELECT.

Read in this order: `fhirpath` (text -> parse tree), `tree`, `kinds` and `functions` (the table of FHIRPath functions),
`analysis` (parse tree -> typed tree), `rows` and `sql` (typed tree -> SQL), `columns` (types), `model` and `statement`
(the structure of a view), `compiler` (all of it), `folder` (all files). Each uses only what comes before it.

Follows SQL on FHIR 3.0.0-ballot and FHIRPath 2.0 over FHIR R4. Where they leave room, or differ from SQL by nature:

- A path that gives several values where one is needed fails with SQLSTATE 21000; `first()` has to be written. An array
  or object where FHIR has a primitive fails with 22P02. On the way to a single value, a list where FHIR allows one
  element and an object where FHIR has a list are not looked into: neither is FHIR, and HAPI stores none.
- An element that has only extensions (`_birthDate`) exists, for `exists()` and `empty()`, and has no value. Extensions
  of primitives are read where the element is named: `birthDate.extension('...')`.
- Comparing dates of different precision, or with and without zone, gives NULL unless the answer is the same for every
  moment they can stand for. Strings compare by code point.
- `decimal` is numeric with the digits as written; `dateTime` stays text. A tag `ansi/type` of DATE or TIMESTAMP makes
  partial dates errors of their resource: write `lowBoundary()` where there can be some. Texts without zone are UTC.
- A choice element without `ofType` is taken for what it can only be: `exists()` asks for all its types, and a member
  that one type alone has narrows it (`medication.reference`). Everything else is refused.
- In the row of an empty `forEachOrNull` every column is NULL, literals included, but `%rowIndex` is 0.
"""

from lambda_pipeline.views.compiler import compile_view, lint
from lambda_pipeline.views.folder import BrokenFile, ViewFolder, load_views, problems_by_view, read_views
from lambda_pipeline.views.view import Column, View

__all__ = [
    "BrokenFile",
    "Column",
    "View",
    "ViewFolder",
    "compile_view",
    "lint",
    "load_views",
    "problems_by_view",
    "read_views",
]
