"""What the type of a node allows: rules that `analysis` and `functions` share."""

from typing import Literal

from lambda_pipeline.views import fhir_types, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError

COMPARISONS = (
    (fhir_types.DATE_TYPES, "date"), (("time",), "time"), (fhir_types.TEXT_TYPES, "text"),
    (fhir_types.NUMBER_TYPES, "number"), (("boolean",), "boolean"), (fhir_types.QUANTITY_TYPES, "quantity"),
)  # fmt: skip
"""Types and how their values compare; the first entry counts."""


def article(node: typed_tree.Node) -> str:
    """The type of a node with its article, for messages."""
    if isinstance(node, typed_tree.Nothing):
        return "always empty"
    if node.type is None:
        return "of unknown type"
    starts_with_vowel = node.type[0] in "aeioAEIO" or node.type == "unsignedInt"
    return f"{'an' if starts_with_vowel else 'a'} {node.type}"


def known_boolean(node: typed_tree.Node, position: int) -> typed_tree.Node:
    """The node, if it is boolean or empty.

    Raises:
        FhirPathError: it is of another type.
    """
    refuse_choice(node)
    if node.type == "boolean" or isinstance(node, typed_tree.Nothing):
        return node
    hint = "compare it, or ask exists()"
    raise FhirPathError(f"expected a boolean, but this is {article(node)}", position, hint)


def refuse_choice(node: typed_tree.Node) -> None:
    """Refuse a choice element that is not narrowed to one type.

    Raises:
        FhirPathError: names the types that the element may have.
    """
    if isinstance(node, typed_tree.Choice):
        shown = ", ".join(node.types[:12]) + (", ..." if len(node.types) > 12 else "")
        raise FhirPathError(
            f"{node.name} can be of several types ({shown})", node.position, f"write {node.name}.ofType(...)"
        )


def sibling(primitive: typed_tree.Member) -> typed_tree.Member:
    """The member `_name` beside a primitive member `name`; it holds id and extensions of the primitive."""
    return typed_tree.Member(primitive.target, f"_{primitive.key}", "Element", primitive.many, primitive.repeats)


def narrow(choice: typed_tree.Choice, type_name: str) -> typed_tree.Member:
    """A choice element as one of its types."""
    return typed_tree.Member(
        choice.target,
        fhir_types.choice_key(choice.name, type_name),
        type_name,
        many=choice.many,
        repeats=choice.repeats,
    )


def common_type(left: typed_tree.Node, right: typed_tree.Node) -> str | None:
    """The type that values of two nodes share; None if there is none."""
    if left.type == right.type or isinstance(right, typed_tree.Nothing):
        return left.type
    if isinstance(left, typed_tree.Nothing):
        return right.type
    comparison = comparison_of(left.type)
    if comparison != comparison_of(right.type) or "integer64" in (left.type, right.type):
        return None  # JSON writes an integer64 as a text and other numbers as numbers
    return {"text": "string", "number": "decimal"}.get(str(comparison))


def comparison_of(type_name: str | None) -> str | None:
    """How values of a type compare (see `typed_tree.Compare`); None if the type is not known."""
    if type_name is None:
        return None
    listed = (name for types, name in COMPARISONS if type_name in types)
    return next(listed, "json")


def number_type(*operands: typed_tree.Node) -> Literal["decimal", "integer64", "integer"]:
    """The type of what `+ - *` make of numbers: the widest of theirs."""
    types = {operand.type for operand in operands}
    return "decimal" if "decimal" in types else "integer64" if "integer64" in types else "integer"
