"""The typed tree: an expression whose names and types are resolved against a version of FHIR.

Every node has a `type` (a FHIR type name; None where none can be known) and `many` (whether it can hold more than one
value). Nodes either lead to JSON (paths) or compute one SQL value (operations); `lowering` writes both.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class Focus:
    """Where paths start: the resource, an element of an iteration, or the element that criteria test.

    Attributes:
        name: key of the column that holds it in `lowering`: `resource`, `f1`, `item2` ...
    """

    name: str
    type: str | None
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Beside:
    """The id and extensions of a primitive element that a focus holds.

    Attributes:
        item: the focus.
        named: the path that names the element.
    """

    item: Focus
    named: "Member"
    type: Literal["Element"] = "Element"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Member:
    """One step by JSON name."""

    target: "Node"
    key: str
    type: str | None
    many: bool
    repeats: bool
    """Whether this step alone can give several values; `many` is about the whole path."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice element that is not yet narrowed to one type; most functions refuse it."""

    target: "Node"
    name: str
    types: tuple[str, ...]
    many: bool
    repeats: bool
    position: int
    type: None = None


@dataclass(frozen=True, slots=True)
class Where:
    """The elements of a collection for which criteria are true; `item` is the focus of the criteria."""

    target: "Node"
    item: Focus
    criteria: "Node"
    type: str | None
    many: bool


@dataclass(frozen=True, slots=True)
class OfResource:
    """The resources of one type in a collection of resources."""

    target: "Node"
    type: str
    many: bool


@dataclass(frozen=True, slots=True)
class At:
    """One element by its 0-based position; `index` None stands for the first."""

    target: "Node"
    index: "Node | None"
    type: str | None
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Last:
    """The last element."""

    target: "Node"
    type: str | None
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Single:
    """The only element; several cannot be read."""

    target: "Node"
    type: str | None
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Slice:
    """The elements from a 0-based position on, up to but without another; None for all that follow."""

    target: "Node"
    start: int
    stop: int | None
    type: str | None
    many: Literal[True] = True


@dataclass(frozen=True, slots=True)
class Distinct:
    """The different elements, each where it occurs first."""

    target: "Node"
    type: str | None
    many: Literal[True] = True


@dataclass(frozen=True, slots=True)
class Union:
    """The different elements of two collections."""

    left: "Node"
    right: "Node"
    type: str | None
    many: Literal[True] = True


@dataclass(frozen=True, slots=True)
class ReferenceKey:
    """The key in each reference that is relative and of the wanted type (any type for None)."""

    target: "Node"
    resource: str | None
    many: bool
    type: Literal["id"] = "id"


@dataclass(frozen=True, slots=True)
class Boundary:
    """The lowest or highest value that each value can stand for; `type` is that of the input.

    Attributes:
        precision: decimal places of a decimal, else characters of the text without zone; None for all.
    """

    target: "Node"
    high: bool
    type: str
    many: bool
    precision: int | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal or constant."""

    value: str | bool | Decimal
    type: str
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class QuantityConstant:
    """A number with a unit of UCUM."""

    value: Decimal
    unit: str
    type: Literal["Quantity"] = "Quantity"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """The empty collection."""

    type: None = None
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """The logical id of the current resource, which the relation provides."""

    type: Literal["id"] = "id"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class RowIndex:
    """The 0-based position in the nearest iteration."""

    type: Literal["integer"] = "integer"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether any of the collections has an element; `negated` for `empty()`."""

    targets: "tuple[Node, ...]"
    negated: bool
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class All:
    """Whether criteria are true for every element; `item` is the focus of the criteria."""

    target: "Node"
    item: Focus
    criteria: "Node"
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of a whole collection that has a value for the empty one too."""

    function: Literal["count", "isDistinct", "allTrue", "anyTrue", "allFalse", "anyFalse"]
    target: "Node"
    type: Literal["boolean", "integer"]
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a value is one of a collection; empty if there is no value."""

    item: "Node"
    collection: "Node"
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Conditional:
    """One of two nodes."""

    criterion: "Node"
    then: "Node"
    otherwise: "Node"
    type: str | None
    many: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two values.

    Attributes:
        comparison: how they compare: `text`, `number`, `boolean`, `json` (whole elements), `date` (with precision),
            `time` or `quantity`.
    """

    operator: Literal["=", "!=", "<", "<=", ">", ">="]
    left: "Node"
    right: "Node"
    comparison: str
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or` of two or more: three-valued, as in SQL."""

    operator: Literal["and", "or"]
    operands: "tuple[Node, ...]"
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Not:
    """`not()`."""

    operand: "Node"
    type: Literal["boolean"] = "boolean"
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * /` on numbers."""

    operator: Literal["+", "-", "*", "/"]
    left: "Node"
    right: "Node"
    type: Literal["integer", "integer64", "decimal"]
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Negative:
    """Unary minus."""

    operand: "Node"
    type: Literal["integer", "integer64", "decimal"]
    many: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Apply:
    """A function on single values.

    Attributes:
        function: name of its SQL in `value_sql`.
    """

    function: str
    arguments: "tuple[Node, ...]"
    type: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """The strings of a collection with a separator between them."""

    target: "Node"
    separator: "Node"
    type: Literal["string"] = "string"
    many: Literal[False] = False


Path = Focus | Beside | Member | Choice | Where | OfResource | At | Last | Single | Slice | Distinct | Union
"""Nodes that lead to JSON. `ReferenceKey` and `Boundary` also do when they have many values."""

Node = (
    Path | ReferenceKey | Boundary | Constant | Nothing | ResourceKey | RowIndex
    | QuantityConstant | Exists | All | Aggregate | Membership | Conditional
    | Compare | Logic | Not | Arithmetic | Negative | Apply | Join
)  # fmt: skip
