"""What a column's PostgreSQL type means for filters, frames and files."""

import re
from enum import StrEnum


class Kind(StrEnum):
    """Families of PostgreSQL types that are filtered, converted and written alike."""

    TEXT = "text"
    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIMESTAMPTZ = "timestamptz"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    BYTEA = "bytea"
    JSON = "json"
    ARRAY = "array"
    OTHER = "other"


_TYPES: dict[str, tuple[Kind, str]] = {
    "text": (Kind.TEXT, "text"),
    "character varying": (Kind.TEXT, "text"),
    "varchar": (Kind.TEXT, "text"),
    "character": (Kind.TEXT, "bpchar"),
    "char": (Kind.TEXT, "bpchar"),
    "bpchar": (Kind.TEXT, "bpchar"),
    "name": (Kind.TEXT, "text"),
    "smallint": (Kind.INTEGER, "smallint"),
    "int2": (Kind.INTEGER, "smallint"),
    "integer": (Kind.INTEGER, "integer"),
    "int": (Kind.INTEGER, "integer"),
    "int4": (Kind.INTEGER, "integer"),
    "bigint": (Kind.INTEGER, "bigint"),
    "int8": (Kind.INTEGER, "bigint"),
    "numeric": (Kind.NUMERIC, "numeric"),
    "decimal": (Kind.NUMERIC, "numeric"),
    "real": (Kind.FLOAT, "real"),
    "float4": (Kind.FLOAT, "real"),
    "double precision": (Kind.FLOAT, "double precision"),
    "float8": (Kind.FLOAT, "double precision"),
    "boolean": (Kind.BOOLEAN, "boolean"),
    "bool": (Kind.BOOLEAN, "boolean"),
    "timestamp with time zone": (Kind.TIMESTAMPTZ, "timestamptz"),
    "timestamptz": (Kind.TIMESTAMPTZ, "timestamptz"),
    "timestamp without time zone": (Kind.TIMESTAMP, "timestamp"),
    "timestamp": (Kind.TIMESTAMP, "timestamp"),
    "date": (Kind.DATE, "date"),
    "time without time zone": (Kind.TIME, "time"),
    "time": (Kind.TIME, "time"),
    "bytea": (Kind.BYTEA, "bytea"),
    "jsonb": (Kind.JSON, "jsonb"),
    "json": (Kind.JSON, "json"),
}


def kind_of(type_name: str) -> Kind:
    """The family of a type as a DDL writes it, modifiers or not: `numeric(10,2)`, `timestamp(3) with time zone`."""
    bare = _without_modifiers(type_name)
    if bare.endswith("[]"):
        return Kind.ARRAY
    return _TYPES.get(bare, (Kind.OTHER, bare))[0]


def comparable_type(type_name: str) -> str:
    """The type a filter's value is cast to: without modifiers, since `7.123::numeric(10,2)` would round to 7.12."""
    bare = _without_modifiers(type_name)
    return _TYPES.get(bare, (Kind.OTHER, bare))[1]


def numeric_modifiers(type_name: str) -> tuple[int, int] | None:
    """Precision and scale of `numeric(p,s)` or `numeric(p)`; None when the type states none."""
    found = re.search(r"\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)", type_name)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _without_modifiers(type_name: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)", " ", type_name).lower().split())
