"""What a column's PostgreSQL type means for filters, frames and files."""

import re
from enum import StrEnum


class TypeFamily(StrEnum):
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


_TYPES: dict[str, tuple[TypeFamily, str]] = {
    "text": (TypeFamily.TEXT, "text"),
    "character varying": (TypeFamily.TEXT, "text"),
    "varchar": (TypeFamily.TEXT, "text"),
    "character": (TypeFamily.TEXT, "bpchar"),
    "char": (TypeFamily.TEXT, "bpchar"),
    "bpchar": (TypeFamily.TEXT, "bpchar"),
    "name": (TypeFamily.TEXT, "text"),
    "smallint": (TypeFamily.INTEGER, "smallint"),
    "int2": (TypeFamily.INTEGER, "smallint"),
    "integer": (TypeFamily.INTEGER, "integer"),
    "int": (TypeFamily.INTEGER, "integer"),
    "int4": (TypeFamily.INTEGER, "integer"),
    "bigint": (TypeFamily.INTEGER, "bigint"),
    "int8": (TypeFamily.INTEGER, "bigint"),
    "numeric": (TypeFamily.NUMERIC, "numeric"),
    "decimal": (TypeFamily.NUMERIC, "numeric"),
    "real": (TypeFamily.FLOAT, "real"),
    "float4": (TypeFamily.FLOAT, "real"),
    "double precision": (TypeFamily.FLOAT, "double precision"),
    "float8": (TypeFamily.FLOAT, "double precision"),
    "boolean": (TypeFamily.BOOLEAN, "boolean"),
    "bool": (TypeFamily.BOOLEAN, "boolean"),
    "timestamp with time zone": (TypeFamily.TIMESTAMPTZ, "timestamptz"),
    "timestamptz": (TypeFamily.TIMESTAMPTZ, "timestamptz"),
    "timestamp without time zone": (TypeFamily.TIMESTAMP, "timestamp"),
    "timestamp": (TypeFamily.TIMESTAMP, "timestamp"),
    "date": (TypeFamily.DATE, "date"),
    "time without time zone": (TypeFamily.TIME, "time"),
    "time": (TypeFamily.TIME, "time"),
    "bytea": (TypeFamily.BYTEA, "bytea"),
    "jsonb": (TypeFamily.JSON, "jsonb"),
    "json": (TypeFamily.JSON, "json"),
}


def type_family(type_name: str) -> TypeFamily:
    """The family of a type as a DDL writes it, modifiers or not: `numeric(10,2)`, `timestamp(3) with time zone`."""
    bare = _without_modifiers(type_name)
    if bare.endswith("[]"):
        return TypeFamily.ARRAY
    return _TYPES.get(bare, (TypeFamily.OTHER, bare))[0]


def comparable_type(type_name: str) -> str:
    """The type a filter's value is cast to: without modifiers, since `7.123::numeric(10,2)` would round to 7.12."""
    bare = _without_modifiers(type_name)
    return _TYPES.get(bare, (TypeFamily.OTHER, bare))[1]


def numeric_modifiers(type_name: str) -> tuple[int, int] | None:
    """Precision and scale of `numeric(p,s)` or `numeric(p)`; None when the type states none."""
    found = re.search(r"\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)", type_name)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _without_modifiers(type_name: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)", " ", type_name).lower().split())
