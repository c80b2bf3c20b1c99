"""SQL of FHIRPath's functions on single values. Each is NULL, FHIRPath's empty, when its input is."""

# ruff: noqa: S608 (writing SQL is the purpose)

import re
from collections.abc import Mapping, Sequence

from lambda_pipeline.views import primitives
from lambda_pipeline.views.letter_case import mapped

BLANKS = "E' \\t\\n\\r\\f\\v'"


def _if_matches(fhir_type: str) -> str:
    pattern = primitives.TEMPORAL_PATTERNS[fhir_type].replace("{", "{{").replace("}", "}}")
    return f"CASE WHEN {{0}} ~ '^{pattern}$' THEN {{0}} END"


TEMPLATES: Mapping[str, str] = {
    "startsWith": "{0} ^@ {1}",
    "endsWith": "right({0}, length({1})) = {1}",
    "contains": "strpos({0}, {1}) > 0",
    "indexOf": "(strpos({0}, {1}) - 1)::numeric",
    "substring": "CASE WHEN {1} >= 0 AND {1} < length({0}) THEN substr({0}, {1}::integer + 1) END",
    "substring of length": (
        "CASE WHEN {1} >= 0 AND {1} < length({0}) THEN substr({0}, {1}::integer + 1,"
        " greatest(least(coalesce({2}, length({0})), length({0})), 0)::integer) END"
    ),
    "replace": "replace({0}, {1}, {2})",
    "replace nothing": (
        "{1} || array_to_string(string_to_array({0}, NULL), {1}) || CASE {0} WHEN '' THEN '' ELSE {1} END"
    ),
    "matches": '{0} COLLATE "C" ~ {1}',
    "length": "length({0})::numeric",
    "trim": f"btrim({{0}}, {BLANKS})",
    "split": "CASE {0} WHEN '' THEN '[\"\"]'::jsonb ELSE to_jsonb(string_to_array({0}, nullif({1}, ''))) END",
    "abs": "abs({0})",
    "floor": "floor({0})",
    "ceiling": "ceil({0})",
    "round": "round({0})",
    "round to": "round({0}, {1}::integer)",
    "div": "div({0}, nullif({1}, 0))",
    "mod": "mod({0}, nullif({1}, 0))",
    "same": "{0}",
    "text": "{0}::text",
    "integer of text": (
        "CASE WHEN {0} ~ '^[-+]?[0-9]+$' THEN"
        " CASE WHEN {0}::numeric BETWEEN -2147483648 AND 2147483647 THEN {0}::numeric END END"
    ),
    "decimal of text": "CASE WHEN {0} ~ '^[-+]?[0-9]+([.][0-9]+)?$' THEN {0}::numeric END",
    "number of boolean": "{0}::integer::numeric",
    "date of text": _if_matches("date"),
    "dateTime of text": _if_matches("dateTime"),
    "day of text": "left({0}, 10)",
    "+": "{0} || {1}",
    "&": "coalesce({0}, '') || coalesce({1}, '')",
}
"""The SQL of each function, with numbers for its arguments; that of `upper` and `lower` is made when one is used."""


def render(function: str, arguments: Sequence[str]) -> str:
    """The SQL of a function.

    Args:
        function: a key of `TEMPLATES`, `upper` or `lower`.
        arguments: SQL of its arguments; one that the template names several times is evaluated once.
    """
    template = TEMPLATES.get(function) or mapped(function, "{0}")
    numbers = re.findall(r"(?<![{])[{](\d)[}](?![}])", template)
    if len(numbers) == len(set(numbers)):
        return f"({template.format(*(f'({argument})' for argument in arguments))})"
    columns = [f"a{number}" for number in range(len(arguments))]
    values = template.format(*(f"p.{column}" for column in columns))
    return f"(SELECT {values} FROM (SELECT {', '.join(arguments)} OFFSET 0) p({', '.join(columns)}))"
