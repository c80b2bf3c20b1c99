"""SQL on FHIR: a ViewDefinition becomes a validated model, typed trees, and one PostgreSQL SELECT.

Read in this order; each module uses only modules before it:

1. Names and types: `primitives` (values of FHIR types), `fhirpath` (text -> parse tree), `fhir_types` (FHIR),
   `typed_tree`, `type_rules`.
2. Functions: `function`, `regular_expressions`, `value_functions`, `path_functions`, `collection_functions`,
   `type_functions`, and `functions`, the table of all; `collection_operators`.
3. `analysis`: parse tree -> typed tree.
4. SQL of parts: `sql_text`, `shapes` (the check of JSON shapes), `temporal_checks`, `temporal`, `quantities`,
   `collection_sql`, `value_sql`, `reference_keys`, `row_source`, `place`, `jsonpath_criteria`.
5. `path_lowering` and `lowering`: typed tree -> SQL.
6. `columns` (types of columns), `definition_reader` (JSON -> model), `view_tests` (the model of a view's tests),
   `view`, `select_builder` (model -> SELECT), `table_limits` (what a table can hold), `compiler` (JSON -> view),
   `tests_reader` (YAML -> tests) and `folder` (all files).
7. For authors: `scaffold` (a first definition of a resource type) and `dictionary` (views as a page).

Follows SQL on FHIR 3.0.0-ballot and FHIRPath 2.0 over FHIR R4, R4B or R5. Choices where the specifications leave room,
and differences:

- A path that gives several values where one is needed fails with SQLSTATE 21000; the view must say `first()`.
- An element on a path of the view whose JSON shape is not FHIR's fails with 22023, in columns, criteria and keys alike:
  a list where FHIR has one element or an object where it has a list, a string where it has an object or a number.
- An element that has only extensions (`_birthDate`) exists for `exists()` and `empty()`, and has no value. Extensions
  of primitives are read where the path names the element (`birthDate.extension('...')`), and in an iteration over it or
  criteria on it. Such an iteration has rows for the entries of the list itself, `null` included.
- A comparison of dates of different precision, or with and without zone, is NULL unless the answer is the same for
  every moment that the values can stand for. Strings compare by code point.
- `decimal` is numeric with the digits as written; `dateTime` stays text. A text that is not a value of its type fails
  wherever a view reads it. A DATE takes a whole day as written, a TIMESTAMP a time (in UTC; without zone as written), a
  TIMESTAMP WITH TIME ZONE a time with zone; everything else is an error of its resource.
- A choice element without `ofType`: `exists()` tests all its types, and a member that only one type has narrows it
  (`medication.reference`). Everything else is refused.
- In the row of an empty `forEachOrNull` every column is NULL, literals included, but `%rowIndex` is 0.
"""

from lambda_pipeline.views.compiler import compile_view, find_warnings, lint
from lambda_pipeline.views.folder import BrokenFile, ViewFolder, load_views, problems_by_view, read_views
from lambda_pipeline.views.view import Column, View

__all__ = [
    "BrokenFile",
    "Column",
    "View",
    "ViewFolder",
    "compile_view",
    "find_warnings",
    "lint",
    "load_views",
    "problems_by_view",
    "read_views",
]
