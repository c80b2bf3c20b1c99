"""What the type of a node allows: the questions that analysis and functions both ask."""

from lambda_pipeline.views import fhir_types, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError


def article(node: typed_tree.Node) -> str:
    """The type of a node for messages."""
    if isinstance(node, typed_tree.Nothing):
        return "always empty"
    kind = node.type or "of unknown type"
    return f"{'an' if kind[0] in 'aeiouAEIO' else 'a'} {kind}" if node.type else kind


def known_boolean(node: typed_tree.Node, position: int) -> typed_tree.Node:
    """The node, if it is boolean or empty.

    Raises:
        FhirPathError: it is of another type.
    """
    refuse_choice(node)
    if node.type == "boolean" or isinstance(node, typed_tree.Nothing):
        return node
    hint = "compare it, or ask exists()"
    raise FhirPathError(f"expected a boolean, this is {article(node)}", position, hint)


def refuse_choice(node: typed_tree.Node) -> None:
    """Raise for a choice element whose type is not said.

    Raises:
        FhirPathError: naming the types it may have.
    """
    if isinstance(node, typed_tree.Choice):
        shown = ", ".join(node.types[:12]) + (", ..." if len(node.types) > 12 else "")
        raise FhirPathError(
            f"{node.name} can be of several types ({shown})", node.position, f"write {node.name}.ofType(...)"
        )


def sibling(primitive: typed_tree.Member) -> typed_tree.Member:
    """The `_name` member beside a primitive one, which holds its id and extensions."""
    return typed_tree.Member(primitive.target, f"_{primitive.key}", "Element", primitive.many, primitive.repeats)


def narrow(choice: typed_tree.Choice, kind: str) -> typed_tree.Member:
    """A choice element as one of its types."""
    return typed_tree.Member(
        choice.target, fhir_types.choice_key(choice.name, kind), kind, many=choice.many, repeats=choice.repeats
    )


def kind(type_name: str | None) -> str | None:
    """How values of a type compare; None if that is not known."""
    if type_name in fhir_types.DATE_TYPES:
        return "date"
    if type_name == "time":
        return "time"
    if type_name in fhir_types.TEXT_TYPES:
        return "text"
    if type_name in fhir_types.NUMBER_TYPES:
        return "number"
    if type_name == "boolean":
        return "boolean"
    return None if type_name is None else "json"
