"""The text HAPI stores for a resource: compact JSON without `id` and `meta`, in the order of its model.

Decimals are `decimal.Decimal` on this side of the text, since 1.50 is not 1.5 in FHIR; `parse` reads them so.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from lambda_pipeline.demo.hapi.elements import DOMAIN_RESOURCE, ELEMENTS
from lambda_pipeline.errors import BadDataError

Resource = Mapping[str, Any]

ID_PATTERN = re.compile(r"[A-Za-z0-9\-.]{1,64}")
DECIMAL_MARK = "\N{REPLACEMENT CHARACTER}decimal:"
MARKED_DECIMAL = re.compile(f'"{DECIMAL_MARK}([-0-9.]+)"')
SURROGATE = re.compile(r"[\ud800-\udfff]")
SUSPECT = ('""', "[]", "{}", "null", "/_history/")
"""Texts without any of these, and without a lone surrogate, need no cleaning."""
VERSIONED_REFERENCE = re.compile(r"(.+)/_history/[^/]+")
DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T([01]\d|2[0-3]):[0-5]\d(?::([0-5]\d|60)(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?"
)
DATE_ELEMENT = re.compile(
    r"birthDate|issued|authoredOn|recordedDate|start|end|(onset|abatement|effective|performed|deceased|value)DateTime"
)


def parse(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a text, decimals exact, the last of equal keys.

    Raises:
        BadDataError: not JSON, or not an object.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadDataError(f"not JSON{place}") from None
    if not isinstance(value, dict):
        raise BadDataError("a JSON object is needed")
    return value


def resource_type(resource: Resource) -> str:
    """The type of a resource.

    Raises:
        BadDataError: there is none.
    """
    found = resource.get("resourceType")
    if not isinstance(found, str) or not found.isalpha() or not found[0].isupper():
        raise BadDataError("resourceType is missing or not a name")
    return found


def logical_id(resource: Resource) -> str | None:
    """The id of a resource, None when it has none.

    Raises:
        BadDataError: it is not an id (FHIR R4, 2.24.0.1: letters, digits, `-`, `.`, at most 64).
    """
    found = resource.get("id")
    if found is None:
        return None
    if not isinstance(found, str) or not ID_PATTERN.fullmatch(found):
        raise BadDataError("id is not a FHIR id")
    return found


def stored_text(resource: Resource) -> str:
    r"""What HAPI writes into RES_TEXT_VC.

    Top-level elements come in the order of the R4 model, and those the model does not have are dropped (for the types
    in `elements`; other types keep what was sent). Below the top the order is kept. Empty strings, arrays and objects
    go, versioned references lose their version, a lone surrogate becomes `?`, decimals keep their digits, and
    `\u0000` stays.
    """
    kept = _order(resource_type(resource), tuple(resource))
    body = {name: resource[name] for name in kept}
    extensions = (resource.get("meta") or {}).get("extension")
    if extensions:
        body = {"resourceType": body.pop("resourceType"), "meta": {"extension": extensions}, **body}
    text = to_json(body)
    if any(mark in text for mark in SUSPECT) or (not text.isascii() and SURROGATE.search(text)):
        text = to_json(_cleaned(body))
    return text


def to_json(value: object) -> str:
    """Compact JSON; decimals as they were written, but never with an exponent."""
    text = ENCODER.encode(value)
    return MARKED_DECIMAL.sub(r"\1", text) if DECIMAL_MARK in text else text


def content_hash(text: str) -> str:
    """HASH_SHA256: HAPI hashes the characters as UTF-16, little end first (Guava's `hashUnencodedChars`)."""
    return hashlib.sha256(text.encode("utf-16-le", "surrogatepass")).hexdigest()


def check_dates(resource: object) -> None:
    """Refuse dates that HAPI's parser refuses: a day the calendar does not have, an hour of 24.

    Raises:
        BadDataError: names the element, not the value.
    """
    if isinstance(resource, Mapping):
        for name, value in resource.items():
            if isinstance(value, str) and DATE_ELEMENT.fullmatch(name):
                if not _is_date(value):
                    raise BadDataError(f"{name} is not a date")
            else:
                check_dates(value)
    elif isinstance(resource, list):
        for item in resource:
            check_dates(item)


def with_references(value: Any, targets: Mapping[str, str]) -> Any:
    """The same JSON with each string that is a key of `targets` replaced, as HAPI resolves placeholders."""
    if isinstance(value, str):
        return targets.get(value, value)
    if isinstance(value, Mapping):
        return {name: with_references(item, targets) for name, item in value.items()}
    if isinstance(value, list):
        return [with_references(item, targets) for item in value]
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _mark_decimal(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    plain = format(value, "f")
    return DECIMAL_MARK + (plain.removeprefix("-") if value == 0 else plain)


ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_mark_decimal)


@lru_cache(maxsize=4096)
def _order(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the top-level names HAPI keeps, in its order; `_name` follows `name`."""
    names = tuple(name for name in names if name not in {"id", "meta", "_id"})
    elements = ELEMENTS.get(kind)
    if elements is None:
        return tuple(sorted(names, key=lambda name: name != "resourceType"))
    ranks = {name: rank for rank, name in enumerate(("resourceType", *DOMAIN_RESOURCE, *elements))}
    ranked = []
    for name in names:
        plain = name.removeprefix("_")
        rank = ranks.get(plain)
        if rank is None:
            rank = next((ranks[choice] for choice in ranks if _is_choice(plain, choice)), None)
        if rank is not None:
            ranked.append((rank, plain, name.startswith("_"), name))
    return tuple(name for *_, name in sorted(ranked))


def _is_choice(name: str, element: str) -> bool:
    stem = element.removesuffix("[x]")
    return stem != element and name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper()


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("?", value)
    if isinstance(value, Mapping):
        members = {
            name: VERSIONED_REFERENCE.sub(r"\1", item)
            if name == "reference" and isinstance(item, str)
            else _cleaned(item)
            for name, item in value.items()
        }
        return {name: item for name, item in members.items() if not _is_empty(item)}
    if isinstance(value, list):
        items = [_cleaned(item) for item in value]
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
