"""Literals and identifiers in the SQL and jsonpath that `views` generates."""

import json


def quoted(text: str) -> str:
    """An SQL string literal on one line, so that later indentation does not change it."""
    doubled = text.replace("'", "''")
    if "\n" not in text:
        return f"'{doubled}'"
    return "E'" + doubled.replace("\\", "\\\\").replace("\n", "\\n") + "'"


def json_string(text: str) -> str:
    """A string literal of JSON and jsonpath."""
    return json.dumps(text, ensure_ascii=False)


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def whole_number_of_text(text: str) -> str:
    """The number that JSON writes as a text, an integer64, as numeric; fails with SQLSTATE 22P02 or 22003 on another.

    Args:
        text: SQL text, named several times.
    """
    checked = f"CASE WHEN {text} ~ '^(0|[-+]?[1-9][0-9]*)$' THEN {text} ELSE 'invalid' || left({text}, 0) END"
    return f"({checked})::bigint::numeric"


def failure(text: str, cast: str = "text") -> str:
    """An expression that fails with SQLSTATE 22P02 and names `text` (an SQL text expression, not a constant)."""
    return f"({text})::integer::text" + (f"::{cast}" if cast != "text" else "")
