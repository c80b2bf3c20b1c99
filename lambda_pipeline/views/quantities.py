"""SQL for FHIR's Quantities: comparison of those with one unit, and literals."""
# ruff: noqa: S608 (writing SQL is the purpose)

from decimal import Decimal

from lambda_pipeline.views.sql_text import json_string, quoted

UCUM = "http://unitsofmeasure.org"


def constant(value: Decimal, unit: str) -> str:
    """A Quantity with a unit of UCUM as jsonb."""
    parts = f'"value": {value:f}, "unit": {json_string(unit)}, "system": "{UCUM}", "code": {json_string(unit)}'
    return f"{quoted('{' + parts + '}')}::jsonb"


def compare(left: str, operator: str, right: str) -> str:
    """Compare two Quantities, each jsonb.

    Two units are one if system and code are; without codes, if the texts of the unit are. For other units nothing is
    known without a table of units, and a comparator (`<`) makes a Quantity a range: the result is NULL.
    """
    return (
        f"(SELECT CASE WHEN coalesce(c.a -> 'comparator', c.b -> 'comparator') IS NULL"
        f" AND coalesce(c.a ->> 'system', '') = coalesce(c.b ->> 'system', '')"
        f" AND coalesce('c' || (c.a ->> 'code'), 'u' || (c.a ->> 'unit'), '')"
        f" = coalesce('c' || (c.b ->> 'code'), 'u' || (c.b ->> 'unit'), '')"
        f" THEN (c.a ->> 'value')::numeric {operator} (c.b ->> 'value')::numeric END"
        f" FROM (SELECT {left}, {right} OFFSET 0) c(a, b))"
    )
