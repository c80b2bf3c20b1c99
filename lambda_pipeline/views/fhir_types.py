"""What a version of FHIR says of its types: which elements they have, of which types, and which may repeat.

The data is in `element_model/*.jsonl` (written by `element_model/generate.py` from the official StructureDefinitions).
A file is read when the first view of its version is compiled; the line of a type is decoded only when a view asks for
that type. Which types are primitive, and which are special cases of others, is the same in all versions.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
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

ABSTRACT_RESOURCES = frozenset(("Resource", "DomainResource", "CanonicalResource", "MetadataResource"))


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


@dataclass(frozen=True, slots=True)
class FhirVersion:
    """A version of FHIR, and its types.

    Attributes:
        name: of the release, which HAPI stores with each resource: `R4`, `R4B`, `R5`.
        number: as `fhirVersion` of a view states it: `4.0.1`.
    """

    name: str
    number: str

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"

    def elements(self, type_name: str) -> dict[str, Element]:
        """The elements of a type by name; empty for primitive and unknown types."""
        return _elements(self.name, type_name)

    def is_type(self, name: str) -> bool:
        """Whether the version has a type of this name."""
        return name in _lines(self.name) and "." not in name

    def is_resource(self, type_name: str) -> bool:
        """Whether it is a resource type, abstract ones included."""
        return "implicitRules" in self.elements(type_name)

    def is_concrete_resource(self, type_name: str) -> bool:
        """Whether resources of the type can exist."""
        return self.is_resource(type_name) and type_name not in ABSTRACT_RESOURCES

    def resource_types(self) -> list[str]:
        """The concrete resource types."""
        return sorted(name for name in _lines(self.name) if self.is_concrete_resource(name))

    def type_names(self) -> list[str]:
        """All types but backbone elements."""
        return [name for name in _lines(self.name) if "." not in name]

    def elements_elsewhere(self, name: str) -> set[tuple[str, ...]]:
        """The types that an element of this name has in any type of the version, `[x]` elements left out."""
        having = (type_name for type_name, line in _lines(self.name).items() if f'"{name}":' in line)
        return {element.types for type_name in having if not (element := self.elements(type_name)[name]).choice}

    def narrowing(self, type_name: str, json_name: str) -> str:
        """`value.ofType(Quantity)` for `valueQuantity`, if the type has such a choice element."""
        for element in self.elements(type_name).values():
            if element.choice and re.match(rf"{element.name}[A-Z]", json_name):
                for candidate in element.types:
                    if element.key(candidate) == json_name:
                        return f"write {element.name}.ofType({candidate})"
        return ""


R4, R4B, R5 = FhirVersion("R4", "4.0.1"), FhirVersion("R4B", "4.3.0"), FhirVersion("R5", "5.0.0")
VERSIONS = (R4, R4B, R5)

elements, is_concrete_resource = R4.elements, R4.is_concrete_resource  # the imitation of HAPI is a server of R4


def stated_versions(stated: object) -> tuple[FhirVersion, ...]:
    """The versions that a view states in `fhirVersion`.

    Args:
        stated: a code, a list of codes, or None for R4. A code may leave out the last number: `4.0`.

    Returns:
        The versions that are supported, each once; empty if there is none.
    """
    if stated is None:
        return (R4,)
    codes = stated if isinstance(stated, list | tuple) else [stated]
    publications = {found[1] for code in codes if (found := re.fullmatch(r"(\d+\.\d+)(\.\d+)?", str(code)))}
    return tuple(version for version in VERSIONS if version.number.rpartition(".")[0] in publications)


@cache
def _lines(version: str) -> dict[str, str]:
    text = (Path(__file__).parent / "element_model" / f"{version.lower()}.jsonl").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())


@cache
def _elements(version: str, type_name: str) -> dict[str, Element]:
    return {
        element.name: element
        for key, value in json.loads(_lines(version).get(type_name, "{}")).items()
        for element in (
            Element(
                name=key.removesuffix("[x]"),
                types=tuple(value.removesuffix("*").split("|")),
                many=value.endswith("*"),
                choice=key.endswith("[x]"),
            ),
        )
    }


def is_primitive(type_name: str | None) -> bool:
    """Whether values of the type are JSON strings, numbers or booleans."""
    return type_name in PRIMITIVE_TYPES


def is_kind_of(type_name: str, other: str) -> bool:
    """Whether values of a type are values of the other type too."""
    return other in (type_name, PARENTS.get(type_name))


def suggestion(name: str, known: list[str] | tuple[str, ...] | set[str]) -> str:
    """`did you mean ...?` for the known name that is closest, or the empty string."""
    close = suggest(name, known)
    return f"did you mean {close}?" if close else ""
