"""What the type of a node allows: the questions that analysis and functions both ask."""

from lambda_pipeline.views import definitions, tree
from lambda_pipeline.views.fhirpath import FhirPathError


def article(node: tree.Node) -> str:
    """The type of a node for messages."""
    if isinstance(node, tree.Nothing):
        return "always empty"
    kind = node.type or "of unknown type"
    return f"{'an' if kind[0] in 'aeiouAEIO' else 'a'} {kind}" if node.type else kind


def known_boolean(node: tree.Node, position: int) -> tree.Node:
    """The node, if it is boolean or empty.

    Raises:
        FhirPathError: it is of another type.
    """
    refuse_choice(node)
    if node.type == "boolean" or isinstance(node, tree.Nothing):
        return node
    hint = "compare it, or ask exists()"
    raise FhirPathError(f"expected a boolean, this is {article(node)}", position, hint)


def refuse_choice(node: tree.Node) -> None:
    """Raise for a choice element whose type is not said.

    Raises:
        FhirPathError: naming the types it may have.
    """
    if isinstance(node, tree.Choice):
        shown = ", ".join(node.types[:12]) + (", ..." if len(node.types) > 12 else "")
        raise FhirPathError(
            f"{node.name} can be of several types ({shown})", node.position, f"write {node.name}.ofType(...)"
        )


def sibling(primitive: tree.Member) -> tree.Member:
    """The `_name` member beside a primitive one, which holds its id and extensions."""
    return tree.Member(primitive.target, f"_{primitive.key}", "Element", primitive.many, primitive.repeats)


def narrow(choice: tree.Choice, kind: str) -> tree.Member:
    """A choice element as one of its types."""
    return tree.Member(
        choice.target, definitions.choice_key(choice.name, kind), kind, many=choice.many, repeats=choice.repeats
    )


def kind(type_name: str | None) -> str | None:
    """How values of a type compare; None if that is not known."""
    if type_name in definitions.DATE_TYPES:
        return "date"
    if type_name == "time":
        return "time"
    if type_name in definitions.TEXT_TYPES:
        return "text"
    if type_name in definitions.NUMBER_TYPES:
        return "number"
    if type_name == "boolean":
        return "boolean"
    return None if type_name is None else "json"
