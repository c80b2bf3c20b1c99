"""What FHIR R4 says of its types: which elements they have, of which types, and which may repeat.

The data is in `r4/elements.jsonl` (written by `r4/generate.py` from the official StructureDefinitions). It is read
once, when the first view is compiled; the line of a type is decoded only when a view asks for that type.
"""

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from lambda_pipeline.errors import suggest

TEXT_TYPES = frozenset((
    "string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown", "base64Binary", "date",
    "dateTime", "instant", "time", "xhtml",
))  # fmt: skip
NUMBER_TYPES = frozenset(("integer", "positiveInt", "unsignedInt", "integer64", "decimal"))
DATE_TYPES = frozenset(("date", "dateTime", "instant"))
TEMPORAL_TYPES = DATE_TYPES | {"time"}
PRIMITIVE_TYPES = TEXT_TYPES | NUMBER_TYPES | {"boolean"}
QUANTITY_TYPES = frozenset(("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"))
PARENTS = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "oid", "uuid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
    **dict.fromkeys(QUANTITY_TYPES - {"Quantity"}, "Quantity"),
}
"""Types that are special cases of another."""

ABSTRACT_RESOURCES = frozenset(("Resource", "DomainResource", "MetadataResource"))


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    Attributes:
        name: as FHIRPath writes it: `deceased` for `deceased[x]`.
        types: the types it may have; a backbone element is a type named by its path.
        many: whether it may repeat.
        choice: whether its JSON name ends in the type.
    """

    name: str
    types: tuple[str, ...]
    many: bool
    choice: bool

    def key(self, type_name: str) -> str:
        """Its JSON name when it has this type."""
        return choice_key(self.name, type_name) if self.choice else self.name


def choice_key(name: str, type_name: str) -> str:
    """`value`, `dateTime` -> `valueDateTime`."""
    return name + type_name[0].upper() + type_name[1:]


@lru_cache(maxsize=1)
def _lines() -> dict[str, str]:
    text = (Path(__file__).parent / "r4" / "elements.jsonl").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())


@cache
def elements(type_name: str) -> dict[str, Element]:
    """The elements of a type by name; empty for primitive and unknown types."""
    return {
        element.name: element
        for key, value in json.loads(_lines().get(type_name, "{}")).items()
        for element in (
            Element(
                name=key.removesuffix("[x]"),
                types=tuple(value.removesuffix("*").split("|")),
                many=value.endswith("*"),
                choice=key.endswith("[x]"),
            ),
        )
    }


def is_type(name: str) -> bool:
    """Whether FHIR R4 has a type of this name."""
    return name in _lines() and "." not in name


def is_resource(type_name: str) -> bool:
    """Whether it is a resource type, abstract ones included."""
    return "implicitRules" in elements(type_name)


def is_primitive(type_name: str | None) -> bool:
    """Whether values of the type are JSON strings, numbers or booleans."""
    return type_name in PRIMITIVE_TYPES


def is_kind_of(type_name: str, other: str) -> bool:
    """Whether values of a type are values of the other type too."""
    return other in (type_name, PARENTS.get(type_name))


def is_concrete_resource(type_name: str) -> bool:
    """Whether resources of the type can exist."""
    return is_resource(type_name) and type_name not in ABSTRACT_RESOURCES


def resource_types() -> list[str]:
    """The concrete resource types."""
    return sorted(name for name in _lines() if is_concrete_resource(name))


def elements_elsewhere(name: str) -> set[tuple[str, ...]]:
    """The types that an element of this name has anywhere in FHIR R4, `[x]` elements left out."""
    having = (type_name for type_name, line in _lines().items() if f'"{name}":' in line)
    return {element.types for type_name in having if not (element := elements(type_name)[name]).choice}


def suggestion(name: str, known: list[str] | tuple[str, ...] | set[str]) -> str:
    """`did you mean ...?` for the known name that is closest, or the empty string."""
    close = suggest(name, known)
    return f"did you mean {close}?" if close else ""


def narrowing(type_name: str, json_name: str) -> str:
    """`value.ofType(Quantity)` for `valueQuantity`, if the type has such a choice element."""
    for element in elements(type_name).values():
        if element.choice and re.match(rf"{element.name}[A-Z]", json_name):
            for candidate in element.types:
                if element.key(candidate) == json_name:
                    return f"write {element.name}.ofType({candidate})"
    return ""


def type_names() -> list[str]:
    """All types but backbone elements."""
    return [name for name in _lines() if "." not in name]
