"""The text that HAPI stores for a resource: compact JSON without `id` and `meta`, in the order of the R4 model.

`parse` reads decimals as `decimal.Decimal`, because 1.50 and 1.5 are different values in FHIR. Where the text is stored
belongs in `rows`; what HAPI takes out of `meta` belongs in `tags`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from lambda_pipeline.errors import BadDataError
from lambda_pipeline.views.fhir_types import elements, is_concrete_resource

Resource = Mapping[str, Any]

TYPE_PATTERN = re.compile(r"[A-Z][A-Za-z]{0,39}")
ID_PATTERN = re.compile(r"[A-Za-z0-9\-.]{1,64}")
MAX_DEPTH = 200
"""Levels of objects and lists in a resource; Python stops at some 1,000 calls inside one another."""
DECIMAL_MARK = "\N{REPLACEMENT CHARACTER}decimal:"
MARKED_DECIMAL = re.compile(f'"{DECIMAL_MARK}([-0-9.]+)"')
SURROGATE = re.compile(r"[\ud800-\udfff]")
NEEDS_CLEANING = ('""', "[]", "{}", "null", "/_history/")
"""A text with none of these and without a lone surrogate needs no cleaning."""
VERSIONED_REFERENCE = re.compile(r"(.+)/_history/[^/]+")
DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T([01]\d|2[0-3]):[0-5]\d(?::([0-5]\d|60)(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?"
)
DATE_ELEMENT = re.compile(
    r"birthDate|issued|authoredOn|recordedDate|start|end|(onset|abatement|effective|performed|deceased|value)DateTime"
)


def parse(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object; decimals stay exact, and the last of equal keys counts.

    Raises:
        BadDataError: the text is not JSON, not an object, or nested deeper than HAPI's parser goes.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadDataError("nested too deeply") from None
    except ValueError as error:
        place = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadDataError(f"not JSON{place}") from None
    if not isinstance(value, dict):
        raise BadDataError("not a JSON object")
    return value


def resource_type(resource: Resource) -> str:
    """The type of a resource.

    Raises:
        BadDataError: it is missing or not a name.
    """
    found = resource.get("resourceType")
    if not isinstance(found, str) or not TYPE_PATTERN.fullmatch(found):
        raise BadDataError("resourceType is missing or not a name")
    return found


def logical_id(resource: Resource) -> str | None:
    """The id of a resource; None if it has no id.

    Raises:
        BadDataError: it is not a valid id (FHIR R4, 2.24.0.1: letters, digits, `-`, `.`, at most 64).
    """
    found = resource.get("id")
    if found is None:
        return None
    if not isinstance(found, str) or not ID_PATTERN.fullmatch(found):
        raise BadDataError("id is not a valid FHIR id")
    return found


def stored_text(resource: Resource) -> str:
    r"""The text that HAPI writes into RES_TEXT_VC.

    Top-level elements are written in the order of the R4 model; unknown elements are dropped. A type that R4 does not
    have keeps its elements and their order, and so do nested elements of all types. Empty strings, arrays and objects
    are removed, versioned references lose their version, a lone surrogate becomes `?`, decimals keep their digits, and
    `\u0000` stays.
    """
    body = {name: resource[name] for name in _order(resource_type(resource), tuple(resource))}
    extensions = (resource.get("meta") or {}).get("extension")
    if extensions:
        body = {"resourceType": body.pop("resourceType"), "meta": {"extension": extensions}, **body}
    text = to_json(body)
    if any(mark in text for mark in NEEDS_CLEANING) or (not text.isascii() and SURROGATE.search(text)):
        text = to_json(_clean(body))
    return text


def to_json(value: object) -> str:
    """Compact JSON; decimals keep their digits and are written without an exponent."""
    text = ENCODER.encode(value)
    return MARKED_DECIMAL.sub(r"\1", text) if DECIMAL_MARK in text else text


def content_hash(text: str) -> str:
    """HASH_SHA256: HAPI hashes the characters as little-endian UTF-16 (Guava's `hashUnencodedChars`)."""
    return hashlib.sha256(text.encode("utf-16-le", "surrogatepass")).hexdigest()


def check_dates(resource: object, depth: int = 0) -> None:
    """Refuse dates that HAPI's parser refuses, such as 30 February or 24:00.

    Raises:
        BadDataError: a date is not valid; the message names the element, not the value. Or it is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise BadDataError("nested too deeply")
    if isinstance(resource, Mapping):
        for name, value in resource.items():
            if name == "start" and resource.get("resourceType") == "GraphDefinition":
                continue  # the one element of these names in R4 that is no date
            if isinstance(value, str) and DATE_ELEMENT.fullmatch(name):
                if not _is_date(value):
                    raise BadDataError(f"{name} is not a valid date")
            else:
                check_dates(value, depth + 1)
    elif isinstance(resource, list):
        for item in resource:
            check_dates(item, depth + 1)


def with_references(value: Any, targets: Mapping[str, str]) -> Any:
    """Replace each string that is a key of `targets`, as HAPI resolves placeholders; returns new JSON."""
    if isinstance(value, str):
        return targets.get(value, value)
    if isinstance(value, Mapping):
        return {name: with_references(item, targets) for name, item in value.items()}
    if isinstance(value, list):
        return [with_references(item, targets) for item in value]
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _mark_decimal(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    plain = format(value, "f")
    return DECIMAL_MARK + (plain.removeprefix("-") if value == 0 else plain)


ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_mark_decimal)


@lru_cache(maxsize=4096)
def _order(resource_type: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The top-level names that HAPI keeps, in its order; `_name` follows `name`."""
    names = tuple(name for name in names if name not in {"id", "meta", "_id"})
    if not is_concrete_resource(resource_type):
        return tuple(sorted(names, key=lambda name: name != "resourceType"))
    ranks = _ranks(resource_type)
    kept = [name for name in names if name.removeprefix("_") in ranks]
    return tuple(sorted(kept, key=lambda name: (ranks[name.removeprefix("_")], name.startswith("_"))))


@cache
def _ranks(resource_type: str) -> dict[str, int]:
    """Position of each JSON name in the R4 model; the names of a choice element have one position each."""
    names = (element.key(type_name) for element in elements(resource_type).values() for type_name in element.types)
    return {name: rank for rank, name in enumerate(dict.fromkeys(("resourceType", *names)))}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("?", value)
    if isinstance(value, Mapping):
        members = {
            name: _clean(
                VERSIONED_REFERENCE.sub(r"\1", item) if name == "reference" and isinstance(item, str) else item
            )
            for name, item in value.items()
        }
        return {SURROGATE.sub("?", name): item for name, item in members.items() if not _is_empty(item)}
    if isinstance(value, list):
        items = [_clean(item) for item in value]
        return [item for item in items if item is None or not _is_empty(item)] if any(items) else []
    return value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _is_date(value: str) -> bool:
    parts = DATE.fullmatch(value)
    if parts is None:
        return False
    year, month, day = parts.group(1, 2, 3)
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return False
    return True
