"""Types of columns: from the FHIR type, or from the tag `ansi/type`; and how an expression becomes a value of one.

| FHIR type of the column | PostgreSQL |
|---|---|
| boolean | boolean |
| integer, positiveInt, unsignedInt | integer |
| integer64 | bigint |
| decimal | numeric (the specification's default is CHARACTER VARYING; numeric keeps value and scale, and compares) |
| instant | timestamptz |
| base64Binary | bytea |
| other primitive types | text in FHIR's own notation, partial dates included |
| complex types, and every column with `collection` | jsonb |
"""
# ruff: noqa: S608 (writing SQL is the purpose)

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from lambda_pipeline.views import fhir_types, temporal_checks, typed_tree
from lambda_pipeline.views.lowering import Lowering
from lambda_pipeline.views.sql_text import failure

ANSI_TAG = "ansi/type"
INDEX_TAG = "lambda_pipeline/index"

SYSTEM_TYPES = {
    "Boolean": "boolean", "String": "string", "Integer": "integer", "Decimal": "decimal", "Date": "date",
    "DateTime": "dateTime", "Time": "time",
}  # fmt: skip
TYPE_PREFIXES = ("http://hl7.org/fhir/StructureDefinition/", "http://hl7.org/fhirpath/System.", "System.", "FHIR.")

POSTGRESQL_TYPES = {
    "boolean": "boolean", "integer": "integer", "positiveInt": "integer", "unsignedInt": "integer",
    "integer64": "bigint", "decimal": "numeric", "instant": "timestamptz", "base64Binary": "bytea",
}  # fmt: skip

WHOLE_NUMBER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}

ANSI_TYPES = {
    "BOOLEAN": "boolean", "SMALLINT": "smallint", "INT": "integer", "INTEGER": "integer", "BIGINT": "bigint",
    "NUMERIC": "numeric", "DECIMAL": "numeric", "DEC": "numeric",
    "CHARACTER VARYING": "text", "CHAR VARYING": "text", "VARCHAR": "text", "CHARACTER LARGE OBJECT": "text",
    "CLOB": "text", "TEXT": "text",
    "DATE": "date", "TIME": "time", "TIME WITHOUT TIME ZONE": "time",
    "TIMESTAMP": "timestamp", "TIMESTAMP WITHOUT TIME ZONE": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BINARY": "bytea", "BINARY VARYING": "bytea", "VARBINARY": "bytea", "BINARY LARGE OBJECT": "bytea", "BLOB": "bytea",
}  # fmt: skip
SIZED = re.compile(
    r"(?P<name>[A-Z ]+?) ?\( ?(?P<first>\d+) ?(?:, ?(?P<second>\d+) ?)?\)(?P<zone> WITH(?:OUT)? TIME ZONE)?"
)


class ColumnTypeError(Exception):
    """A column type that is unknown, or that the expression cannot have.

    Args:
        reason: what is wrong.
        hint: what to write instead; may be empty.
        about: the part of the column that is wrong: `path`, `type` or `tag`.
    """

    def __init__(self, reason: str, hint: str = "", *, about: Literal["path", "type", "tag"] = "path") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.about = about


@dataclass(frozen=True, slots=True)
class Target:
    """The type of a column.

    Attributes:
        type: the PostgreSQL type as a DDL writes it.
        family: the type without its size.
        limit: the most characters a text may have; None for any number.
        temporal: the FHIR type of dates or times that values must have; None for other values.
    """

    type: str
    family: str
    limit: int | None = None
    temporal: str | None = None


def fhir_type(version: fhir_types.FhirVersion, name: str) -> str:
    """The FHIR type that a column declares, as a name or a canonical URL.

    Raises:
        ColumnTypeError: the version does not have this type. R4 has no integer64, but it may be declared.
    """
    short = name
    for prefix in TYPE_PREFIXES:
        short = short.removeprefix(prefix)
    short = SYSTEM_TYPES.get(short, short)
    if short == "integer64" or version.is_type(short) or ("." in short and version.elements(short)):
        return short
    raise ColumnTypeError(f"{version} has no type {name!r}", fhir_types.suggestion(short, version.type_names()))


def ansi_type(name: str) -> Target:
    """The PostgreSQL type for a value of the tag `ansi/type`.

    Raises:
        ColumnTypeError: the value is unknown, or PostgreSQL does not have exactly this type.
    """
    text = " ".join(name.upper().split())
    sized = SIZED.fullmatch(text)
    bare = sized["name"] + (sized["zone"] or "") if sized else text
    family = ANSI_TYPES.get(bare)
    if family is None:
        approximate = bare in ("REAL", "FLOAT", "DOUBLE PRECISION")
        hint = "floats lose digits: write DECIMAL" if approximate else f"one of {', '.join(ANSI_TYPES)}"
        raise ColumnTypeError(f"{ANSI_TAG} {name!r} is not supported", hint, about="tag")
    if not sized:
        return Target(family, family)
    first, second = int(sized["first"]), sized["second"]
    if family == "numeric" and 1 <= first <= 1000 and int(second or 0) <= first:
        return Target(f"numeric({first},{int(second or 0)})", family)
    if family == "text" and second is None and 1 <= first <= 10_485_760:
        return Target(f"varchar({first})", family, limit=first)
    if family in ("timestamp", "timestamptz", "time") and second is None and first <= 6:
        return Target(f"{family}({first})", family)
    raise ColumnTypeError(f"{ANSI_TAG} {name!r} has a size that {bare} does not allow", about="tag")


def target(node: typed_tree.Node, *, declared: str | None, ansi: str | None, collection: bool) -> Target:
    """The type of a column.

    Args:
        node: its expression.
        declared: the FHIR type that the column declares, as `fhir_type` gives it.
        ansi: the value of its tag `ansi/type`.
        collection: whether it holds a list.

    Raises:
        ColumnTypeError: the expression cannot have that type, or its type is not known.
    """
    if isinstance(node, typed_tree.Nothing) and declared is None and ansi is None and not collection:
        raise ColumnTypeError("the path is always empty, so the column needs a type")
    if declared is not None:
        _check_declared(node, declared)
    if collection:
        if ansi is not None:
            raise ColumnTypeError(
                f"a column with collection is a JSON array; {ANSI_TAG} cannot change that", about="tag"
            )
        return Target("jsonb", "jsonb")
    temporal = _temporal_type(node.type, declared)
    if ansi is not None:
        wanted = replace(ansi_type(ansi), temporal=temporal)
        _check_ansi(node, wanted, ansi)
        _check_literal(node, wanted.family)
        return wanted
    type_name = declared or node.type
    if type_name is None:
        raise ColumnTypeError("the type of the path is not known, so the column needs a type")
    if not (fhir_types.is_primitive(type_name) or type_name == "integer64"):
        return Target("jsonb", "jsonb")
    name = POSTGRESQL_TYPES.get(type_name, "text")
    _check_literal(node, name)
    return Target(name, name, temporal=temporal)


def _temporal_type(source: str | None, declared: str | None) -> str | None:
    """The narrower type of dates or times of a path and a declaration; None if neither is one."""
    if declared in fhir_types.TEMPORAL_TYPES and source not in fhir_types.TEMPORAL_TYPES - {"dateTime"}:
        return declared
    return source if source in fhir_types.TEMPORAL_TYPES else None


def _check_literal(node: typed_tree.Node, family: str) -> None:
    """Refuse a whole number that no row of its column could hold."""
    if isinstance(node, typed_tree.Constant) and isinstance(node.value, Decimal) and family in WHOLE_NUMBER_BITS:
        bits = WHOLE_NUMBER_BITS[family]
        if not -(2 ** (bits - 1)) <= node.value < 2 ** (bits - 1):
            raise ColumnTypeError(
                f"{node.value} is too large for a whole number of {bits} bits",
                "write it with a decimal point",
            )


def expression(lowering: Lowering, node: typed_tree.Node, wanted: Target) -> str:  # noqa: PLR0911 (one return per family)
    """The SQL of a column: an expression of exactly the wanted type."""
    if isinstance(node, typed_tree.Nothing):
        return f"NULL::{wanted.type}"
    match wanted.family:
        case "jsonb":
            return lowering.json(node)
        case "boolean":
            return lowering.boolean(node)
        case "numeric":
            return lowering.number(node) + ("" if wanted.type == "numeric" else f"::{wanted.type}")
        case "text":
            if wanted.temporal in (None, node.type):
                text = lowering.text(node)
            else:
                text = lowering.temporal_text(node, wanted.temporal)
            return text if wanted.limit is None else _limited(text, wanted)
        case "bytea":
            return f"decode({lowering.written(node)}, 'base64')"
        case "date" | "timestamp" | "timestamptz":
            fhir_type = wanted.temporal or "dateTime"
            return lowering.naming(node, lambda text: temporal_checks.moment(text, fhir_type, wanted.type))
        case "time":
            return lowering.naming(node, lambda text: temporal_checks.time_of_day(text, wanted.type))
    return f"({lowering.whole_number(node)})::{wanted.type}"


def list_expression(lowering: Lowering, node: typed_tree.Node, _wanted: Target) -> str:
    """The SQL of a column with `collection`: a jsonb array."""
    return lowering.list(node)


def _limited(text: str, wanted: Target) -> str:
    too_long = failure("length(b.t) || ' characters'")
    return (  # a CAST would cut the text silently
        f"(SELECT CASE WHEN length(b.t) > {wanted.limit} THEN {too_long} ELSE b.t END"
        f" FROM (SELECT {text} OFFSET 0) b(t))::{wanted.type}"
    )


def _check_declared(node: typed_tree.Node, declared: str) -> None:
    """Refuse a declared type that does not fit the type of the expression."""
    source = node.type
    if source is None or source == declared:
        return
    text, number = fhir_types.TEXT_TYPES, fhir_types.NUMBER_TYPES | {"integer64"}
    if not fhir_types.is_primitive(source):
        fits = not fhir_types.is_primitive(declared) and declared in ("BackboneElement", "Element", "Resource")
    elif declared in number:
        fits = source in number
    elif declared in fhir_types.TEMPORAL_TYPES:
        dates = source in fhir_types.DATE_TYPES and declared in fhir_types.DATE_TYPES
        fits = (dates and "dateTime" in (source, declared)) or source in text - fhir_types.TEMPORAL_TYPES
    elif declared == "base64Binary":
        fits = source in text
    elif declared == "boolean":
        fits = False
    else:
        fits = declared in text
    if not fits:
        raise ColumnTypeError(
            f"declared as {declared}, but the path gives {source}", f"declare it as {source}", about="type"
        )


def _check_ansi(node: typed_tree.Node, wanted: Target, ansi: str) -> None:
    """Refuse a tag that asks for more than another notation of the same value."""
    source = node.type
    if source is None:
        return
    match wanted.family:
        case "text":
            fits = fhir_types.is_primitive(source)
        case "boolean":
            fits = source == "boolean"
        case "date":
            fits = source in fhir_types.DATE_TYPES
        case "timestamp" | "timestamptz":
            fits = source in ("dateTime", "instant")
        case "time":
            fits = source == "time"
        case "bytea":
            fits = source == "base64Binary"
        case _:
            fits = source in fhir_types.NUMBER_TYPES
    if not fits:
        raise ColumnTypeError(f"the path gives {source}, which cannot become {ansi}", about="tag")
