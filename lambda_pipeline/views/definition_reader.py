"""ViewDefinition JSON -> a validated model. Every problem of the JSON is found here; expressions stay texts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from lambda_pipeline.errors import Problem
from lambda_pipeline.views import columns, fhir_types, typed_tree
from lambda_pipeline.views.analysis import RESERVED_VARIABLES
from lambda_pipeline.views.fhir_types import FhirVersion
from lambda_pipeline.views.primitives import primitive_problem
from lambda_pipeline.views.table_limits import SYSTEM_COLUMNS

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer identifiers silently."""

CANONICAL_RESOURCE = frozenset((
    "resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "url",
    "identifier", "version", "versionAlgorithmString", "versionAlgorithmCoding", "name", "title", "status",
    "experimental", "date", "publisher", "contact", "description", "useContext", "jurisdiction", "purpose",
    "copyright", "copyrightLabel", "approvalDate", "lastReviewDate", "effectivePeriod", "topic", "author",
    "editor", "reviewer", "endorser", "relatedArtifact", "fhirVersion", "profile", "resourceDefinition",
))  # fmt: skip
VIEW_KEYS = CANONICAL_RESOURCE | {"resource", "select", "where", "constant"}
ITERATORS = ("forEach", "forEachOrNull", "repeat")
SELECT_KEYS = frozenset(("id", "extension", "column", "select", "unionAll", *ITERATORS))
COLUMN_KEYS = frozenset(("id", "extension", "name", "path", "description", "collection", "type", "tag"))
TAG_KEYS = frozenset(("id", "extension", "name", "value"))
WHERE_KEYS = frozenset(("id", "extension", "path", "description"))

CONSTANT_TYPES = (
    "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer",
    "integer64", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid",
)  # fmt: skip
CONSTANT_KEYS = {fhir_types.choice_key("value", name): name for name in CONSTANT_TYPES}
WHOLE_NUMBERS = ("integer", "positiveInt", "unsignedInt", "integer64")


@dataclass(frozen=True, slots=True)
class Text:
    """A string of the definition and its JSON path; most are expressions."""

    value: str
    path: str


@dataclass(frozen=True, slots=True)
class ColumnModel:
    """One column as defined."""

    name: str
    expression: Text
    json_path: str
    type: str | None
    collection: bool
    ansi: Text | None
    indexed: bool
    description: str


@dataclass(frozen=True, slots=True)
class Select:
    """One select as defined. At most one of the three iterators is set."""

    json_path: str
    for_each: Text | None
    for_each_or_null: Text | None
    repeat: tuple[Text, ...]
    column: tuple[ColumnModel, ...]
    select: "tuple[Select, ...]"
    union_all: "tuple[Select, ...]"


@dataclass(frozen=True, slots=True)
class ViewModel:
    """One ViewDefinition as defined."""

    name: str
    description: str
    resource: str
    select: tuple[Select, ...]
    where: tuple[Text, ...]
    constants: Mapping[str, typed_tree.Constant] = field(default_factory=dict)


class Reader:
    """Reads one ViewDefinition and collects its problems.

    Args:
        file: name of the file, for problems.
        version: the version of FHIR that names of types are checked against.

    Attributes:
        problems: every problem found so far.
    """

    def __init__(self, file: str, version: FhirVersion) -> None:
        self.file = file
        self.version = version
        self.problems: list[Problem] = []

    def problem(self, path: str, reason: str, hint: str = "") -> None:
        """Record a problem."""
        self.problems.append(Problem(self.file, path, reason, hint))

    def view(self, definition: Any) -> ViewModel | None:
        """The model; None if the definition is not a JSON object."""
        if not isinstance(definition, Mapping):
            self.problem("$", "a ViewDefinition is a JSON object")
            return None
        self._keys(definition, "$", VIEW_KEYS)
        resource_type = definition.get("resourceType")
        if resource_type is not None and str(resource_type).rpartition("/")[2] != "ViewDefinition":
            self.problem("$.resourceType", f"{resource_type!r} is not ViewDefinition")
        self._fhir_version(definition.get("fhirVersion"))
        name = self._name(definition, "$") if "name" in definition else ""
        resource = self._resource(definition)
        select = self._list(definition, "$", "select", self._select)
        if "select" not in definition:
            self.problem("$", "select is missing")
        elif not select and definition["select"] == []:
            self.problem("$.select", "a view needs at least one select")
        constants: dict[str, typed_tree.Constant] = {}
        for symbol, constant in self._list(definition, "$", "constant", self._constant):
            if symbol in constants:
                self.problem("$.constant", f"%{symbol} is defined twice")
            constants[symbol] = constant
        return ViewModel(
            name=name,
            description=self._optional_text(definition, "$", "description"),
            resource=resource,
            select=select,
            where=self._list(definition, "$", "where", self._where),
            constants=constants,
        )

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _select(self, item: Any, path: str) -> Select | None:
        if not self._object(item, path, SELECT_KEYS):
            return None
        iterators = [key for key in ITERATORS if key in item]
        if len(iterators) > 1:
            self.problem(path, f"{' and '.join(iterators)} exclude each other", "write one select inside the other")
        repeat = self._list(item, path, "repeat", self._repeat_path)
        if item.get("repeat") == []:
            self.problem(f"{path}.repeat", "repeat needs at least one path")
        select = Select(
            json_path=path,
            for_each=self._expression(item, path, "forEach") if "forEach" in item else None,
            for_each_or_null=self._expression(item, path, "forEachOrNull") if "forEachOrNull" in item else None,
            repeat=repeat,
            column=self._list(item, path, "column", self._column),
            select=self._list(item, path, "select", self._select),
            union_all=self._list(item, path, "unionAll", self._select),
        )
        if not any(item.get(key) for key in ("column", "select", "unionAll")):
            self.problem(path, "a select needs column, select or unionAll")
        return select

    def _column(self, item: Any, path: str) -> ColumnModel | None:
        if not self._object(item, path, COLUMN_KEYS):
            return None
        name, expression = self._name(item, path), self._expression(item, path, "path")
        if name.lower() in SYSTEM_COLUMNS:
            self.problem(f"{path}.name", f"{name!r} is a column that every table of PostgreSQL has")
        collection = item.get("collection", False)
        if not isinstance(collection, bool):
            self.problem(f"{path}.collection", "collection must be true or false")
        type_name = self._type(item["type"], f"{path}.type") if item.get("type") is not None else None
        tags: dict[str, Text] = {}
        for tag, value in self._list(item, path, "tag", self._tag):
            if tag in tags and tag in (columns.ANSI_TAG, columns.INDEX_TAG):
                self.problem(value.path, f"the tag {tag} occurs twice")
            tags[tag] = value
        indexed = tags.get(columns.INDEX_TAG)
        if indexed is not None and indexed.value not in ("true", "false"):
            self.problem(indexed.path, f"{columns.INDEX_TAG} must be true or false")
        if not name or expression is None:
            return None
        return ColumnModel(
            name=name, expression=expression, json_path=path, type=type_name, collection=collection is True,
            ansi=tags.get(columns.ANSI_TAG), indexed=indexed is not None and indexed.value == "true",
            description=self._optional_text(item, path, "description"),
        )  # fmt: skip

    def _type(self, type_name: Any, path: str) -> str | None:
        if not isinstance(type_name, str):
            self.problem(path, "a type must be a string")
            return None
        try:
            return columns.fhir_type(self.version, type_name)
        except columns.ColumnTypeError as error:
            self.problem(path, error.reason, error.hint)
            return None

    def _tag(self, item: Any, path: str) -> tuple[str, Text] | None:
        if not self._object(item, path, TAG_KEYS):
            return None
        name, value = item.get("name"), item.get("value")
        if not isinstance(name, str) or not isinstance(value, str):
            self.problem(path, "a tag needs a name and a value, both strings")
            return None
        return name, Text(value, f"{path}.value")

    def _where(self, item: Any, path: str) -> Text | None:
        return self._expression(item, path, "path") if self._object(item, path, WHERE_KEYS) else None

    def _repeat_path(self, item: Any, path: str) -> Text | None:
        return self._text(item, path)

    def _constant(self, item: Any, path: str) -> tuple[str, typed_tree.Constant] | None:
        if not self._object(item, path, frozenset(("id", "extension", "name", *CONSTANT_KEYS))):
            return None
        name = self._name(item, path)
        values = [key for key in item if key in CONSTANT_KEYS]
        if len(values) != 1:
            self.problem(path, f"a constant needs exactly one value[x], this one has {len(values)}")
            return None
        if name in RESERVED_VARIABLES:
            self.problem(f"{path}.name", f"%{name} is the name of a variable of FHIRPath")
        type_name = CONSTANT_KEYS[values[0]]
        value = self._constant_value(item[values[0]], type_name, f"{path}.{values[0]}")
        return None if value is None or not name else (name, typed_tree.Constant(value, type_name))

    def _constant_value(self, value: Any, type_name: str, path: str) -> str | bool | Decimal | None:
        if type_name == "boolean" and isinstance(value, bool):
            return value
        if type_name == "decimal" or type_name in WHOLE_NUMBERS:
            number = _number(value, as_text=type_name == "integer64")
            if number is not None and number.is_finite() and (type_name == "decimal" or _is_whole(number, type_name)):
                return number
        elif isinstance(value, str) and type_name != "boolean" and primitive_problem(value, type_name) is None:
            text = self._text(value, path)
            return None if text is None else text.value
        self.problem(path, f"this is not a value of type {type_name}")
        return None

    def _resource(self, definition: Mapping[str, Any]) -> str:
        resource = definition.get("resource")
        if not isinstance(resource, str):
            self.problem("$.resource" if "resource" in definition else "$", "resource is missing or is not a string")
            return ""
        if not self.version.is_concrete_resource(resource):
            hint = fhir_types.suggestion(resource, self.version.resource_types())
            self.problem("$.resource", f"{self.version} has no resource type {resource!r}", hint)
            return ""
        return resource

    def _fhir_version(self, versions: Any) -> None:
        if not fhir_types.stated_versions(versions):
            known = ", ".join(version.number for version in fhir_types.VERSIONS)
            self.problem("$.fhirVersion", f"{versions!r} has no version of FHIR that is supported", f"one of {known}")

    # ---- JSON --------------------------------------------------------------------------------------------------------

    def _object(self, item: Any, path: str, keys: frozenset[str]) -> bool:
        if not isinstance(item, Mapping):
            self.problem(path, "expected a JSON object")
            return False
        self._keys(item, path, keys)
        return True

    def _keys(self, item: Mapping[str, Any], path: str, known: frozenset[str]) -> None:
        for key in item:
            if key not in known and key.removeprefix("_") not in known:
                self.problem(f"{path}.{key}", f"{key!r} is not part of a ViewDefinition here, or is not supported",
                             fhir_types.suggestion(key, set(known)))  # fmt: skip

    def _list(
        self, item: Mapping[str, Any], path: str, key: str, read: Callable[[Any, str], T | None]
    ) -> tuple[T, ...]:
        value = item.get(key, [])
        if not isinstance(value, list | tuple):
            self.problem(f"{path}.{key}", "expected a JSON array")
            return ()
        read_items = (read(element, f"{path}.{key}[{index}]") for index, element in enumerate(value))
        return tuple(element for element in read_items if element is not None)

    def _text(self, value: Any, path: str) -> Text | None:
        if not isinstance(value, str):
            self.problem(path, "expected a string")
        elif "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            self.problem(path, "contains a character that PostgreSQL cannot store (U+0000 or half a surrogate pair)")
        else:
            return Text(value, path)
        return None

    def _expression(self, item: Mapping[str, Any], path: str, key: str) -> Text | None:
        if key not in item:
            self.problem(path, f"{key} is missing")
            return None
        return self._text(item[key], f"{path}.{key}")

    def _name(self, item: Mapping[str, Any], path: str) -> str:
        name = item.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            hint = "a name begins with a letter, then come letters, digits and _"
            self.problem(f"{path}.name", f"{name!r} is not a name" if name is not None else "name is missing", hint)
            return ""
        if len(name) > MAX_NAME_BYTES:
            self.problem(f"{path}.name", f"{name!r} is longer than {MAX_NAME_BYTES} characters")
            return ""
        return name

    def _optional_text(self, item: Mapping[str, Any], path: str, key: str) -> str:
        value = item.get(key, "")
        if not isinstance(value, str):
            self.problem(f"{path}.{key}", "expected a string")
            return ""
        return value


def _is_whole(number: Decimal, type_name: str) -> bool:
    largest = 2**63 - 1 if type_name == "integer64" else 2**31 - 1
    smallest = {"positiveInt": 1, "unsignedInt": 0}.get(type_name, -largest - 1)
    return number == number.to_integral_value() and smallest <= number <= largest


def _number(value: Any, *, as_text: bool) -> Decimal | None:
    """A JSON number as Decimal; a float by its shortest text, which is the text of the file."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return Decimal(value) if as_text and isinstance(value, str) and re.fullmatch(r"-?\d+", value) else None
