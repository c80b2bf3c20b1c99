"""The JSON shapes that FHIR gives to the elements a view reads, and the SQL that finds a resource with another shape.

A list where FHIR has one element, an object where it has a list, a number where it has a string: jsonpath would look
into some of these and not into others, and `->` into none. So every element on every path of a view is checked before
anything else reads it, and a resource with a wrong shape fails with SQLSTATE 22023, whatever the path is used for.
JSON null may stand only in a list of primitives. A filter (`where`, `[0]`) does not limit the check.
"""
# ruff: noqa: PLR0911 (one case per class of node)

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from lambda_pipeline.views import fhir_types, type_rules, typed_tree
from lambda_pipeline.views.sql_text import json_string, quoted

QUANTITY_ELEMENTS = {"value": "decimal", "comparator": "code", "unit": "string", "system": "uri", "code": "code"}
"""The elements that a comparison of Quantities reads."""


@dataclass(slots=True)
class Shape:
    """One element that the view reads.

    Attributes:
        type: its FHIR type; None if it is unknown, which is not checked.
        repeats: whether it is a list.
        has_nulls: whether null may stand in its list.
        children: the elements below it that the view reads, by JSON name.
        resources: the same for its resources of one type only.
        is_checked: whether SQL that checks it is already written.
    """

    type: str | None
    repeats: bool = False
    has_nulls: bool = False
    children: "dict[str, Shape]" = field(default_factory=dict)
    resources: "dict[str, Shape]" = field(default_factory=dict)
    is_checked: bool = False

    def below(self, step: typed_tree.Member | typed_tree.OfResource) -> "Shape":
        """The shape after one step."""
        if isinstance(step, typed_tree.OfResource):
            return self.resources.setdefault(step.type, Shape(step.type))
        has_nulls = fhir_types.is_primitive(step.type) or step.key.startswith("_")
        return self.children.setdefault(step.key, Shape(step.type, step.repeats, has_nulls))


class Shapes:
    """The shapes of one ViewDefinition.

    Attributes:
        resource: the shape of the resource.
    """

    def __init__(self, resource_type: str) -> None:
        self.resource = Shape(resource_type)
        self._foci: dict[str, tuple[Shape, ...]] = {"resource": (self.resource,)}

    def bind(self, focus: typed_tree.Focus, shapes: tuple[Shape, ...]) -> None:
        """Set the shapes of a focus; none for one whose elements are not checked."""
        self._foci[focus.name] = shapes

    def read(self, node: typed_tree.Node) -> tuple[Shape, ...]:
        """Record that the view reads a node.

        Returns:
            The shapes of the elements it leads to; none for a computed value.
        """
        match node:
            case typed_tree.Focus(name):
                return self._foci.get(name, ())
            case typed_tree.Beside(_, named):
                return self.read(type_rules.sibling(named))
            case typed_tree.Where(target, item, criteria) | typed_tree.All(target, item, criteria):
                shapes = self.read(target)
                self.bind(item, shapes)
                self.read(criteria)
                return shapes
            case typed_tree.ReferenceKey(target):
                self.read(typed_tree.Member(target, "reference", "string", many=node.many, repeats=False))
                return ()
            case typed_tree.Compare(_, left, right, "quantity"):
                for side in (left, right):
                    for key, type_name in QUANTITY_ELEMENTS.items():
                        self.read(typed_tree.Member(side, key, type_name, many=side.many, repeats=False))
                return ()
            case typed_tree.Member(target) | typed_tree.OfResource(target):
                return tuple(shape.below(node) for shape in self.read(target))
        return tuple(shape for part in _parts(node) for shape in self.read(part))


def guard(shape: Shape, column: str, condition: str = "") -> str:
    """A condition that fails for a row in which an element has another shape.

    Args:
        shape: what the column holds. What an earlier guard checks is not checked again.
        column: SQL of the jsonb.
        condition: the condition on other rows; empty for true.

    Returns:
        The condition with the check before it; empty if there is neither.
    """
    wrong = " || ".join(_wrong(shape))
    if not wrong:
        return condition
    check = f"jsonb_path_exists({column}, {quoted(f'$ ? ({wrong})')})"
    return f"CASE WHEN {check} THEN ({column})::boolean ELSE {condition or 'true'} END"


def _wrong(shape: Shape) -> Iterator[str]:
    """Jsonpath predicates that are true for an element whose children have a wrong shape."""
    for key, child in shape.children.items():
        at = f"@.{json_string(key)}"
        elements = f"{at}[*]" if child.repeats else at
        if child.type is not None and not child.is_checked:
            child.is_checked = True
            if child.repeats:
                yield f'{at}.type() != "array"'
            only_values = " ? (@ != null)" if child.repeats and child.has_nulls else ""
            yield f'{elements}{only_values}.type() != "{_json_type(child.type)}"'
        below = " || ".join(_wrong(child))
        if below:
            yield f"exists({elements} ? ({below}))"
    for type_name, child in shape.resources.items():
        below = " || ".join(_wrong(child))
        if below:
            yield f'@."resourceType" == {json_string(type_name)} && ({below})'


def _json_type(type_name: str) -> str:
    if type_name in fhir_types.TEXT_TYPES or type_name == "integer64":
        return "string"
    if type_name in fhir_types.NUMBER_TYPES:
        return "number"
    return "boolean" if type_name == "boolean" else "object"


def _parts(node: typed_tree.Node) -> Iterator[typed_tree.Node]:
    for item in fields(node):
        value = getattr(node, item.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, typed_tree.Node):
                yield part
