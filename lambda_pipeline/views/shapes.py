"""The JSON shapes that FHIR gives to the elements a view reads, and the SQL that finds a resource with another shape.

A list where FHIR has one element, an object where it has a list, a number where it has a string: jsonpath would look
into some of these and not into others, and `->` into none. So every element on every path of a view is checked before
anything else reads it, and a resource with a wrong shape fails with SQLSTATE 22023, whatever the path is used for.
JSON null may stand only in a list of primitives. A filter (`where`, `[0]`) does not limit the check.

The check is a condition on the resource, before any join: on the rows of an iteration PostgreSQL would skip it where
another select has no row, in one plan and not in another. So what a `repeat` reaches is walked there too.
"""
# ruff: noqa: PLR0911, S608 (one case per class of node; writing SQL is the purpose)

from collections.abc import Iterable, Iterator
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
        path: jsonpath to all such elements, from the resource or from each element that `walk` reaches.
        walk: the `repeat` below whose elements it stands; None if there is none.
    """

    type: str | None
    repeats: bool = False
    has_nulls: bool = False
    children: "dict[str, Shape]" = field(default_factory=dict)
    resources: "dict[str, Shape]" = field(default_factory=dict)
    is_checked: bool = False
    path: str = "$"
    walk: "Walk | None" = None

    def below(self, step: typed_tree.Member | typed_tree.OfResource) -> "Shape":
        """The shape after one step."""
        if isinstance(step, typed_tree.OfResource):
            path = f'{self.path} ? (@."resourceType" == {json_string(step.type)})'
            return self.resources.setdefault(step.type, Shape(step.type, path=path, walk=self.walk))
        has_nulls = fhir_types.is_primitive(step.type) or step.key.startswith("_")
        path = f"{self.path}.{json_string(step.key)}{'[*]' if step.repeats else ''}"
        return self.children.setdefault(step.key, Shape(step.type, step.repeats, has_nulls, path=path, walk=self.walk))


@dataclass(slots=True)
class Walk:
    """A `repeat`: which elements it reaches.

    Attributes:
        starts: the elements that it starts at.
        steps: jsonpath from an element to those that it reaches next.
        reached: the shape of all that it reaches.
    """

    starts: tuple[Shape, ...] = ()
    steps: tuple[str, ...] = ()
    reached: Shape = field(default_factory=lambda: Shape(None))

    def __post_init__(self) -> None:
        """Let the elements below know this walk."""
        self.reached.walk = self


class Shapes:
    """The shapes of one ViewDefinition.

    Attributes:
        resource: the shape of the resource.
        walks: every `repeat` of the view, an outer one before those inside it.
    """

    def __init__(self, resource_type: str) -> None:
        self.resource = Shape(resource_type)
        self.walks: list[Walk] = []
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


def guard(shape: Shape, column: str, condition: str = "", walks: Iterable[Walk] = ()) -> str:
    """A condition that fails for a row in which an element has another shape.

    Args:
        shape: what the column holds. What an earlier guard checks is not checked again.
        column: SQL of the jsonb.
        condition: the condition on other rows; empty for true.
        walks: each `repeat` below; its elements are checked after those of the shape.

    Returns:
        The condition with the check before it; empty if there is neither.
    """
    wrong = " || ".join(_wrong(shape))
    checks = [f"jsonb_path_exists({column}, {quoted(f'$ ? ({wrong})')})"] if wrong else []
    checks += [check for walk in walks if (check := _reaches_wrong(walk, column))]
    if not checks:
        return condition
    failing = " ".join(f"WHEN {check} THEN ({column})::boolean" for check in checks)
    return f"CASE {failing} ELSE {condition or 'true'} END"


def _reaches_wrong(walk: Walk, column: str) -> str:
    """Whether a `repeat` reaches an element that has another shape; empty if nothing of its elements is checked.

    The first test looks at every object of the resource, and is false for nearly all: it is much faster than the walk.
    """
    wrong = " || ".join(_wrong(walk.reached))
    if not wrong or not walk.starts:
        return ""
    anywhere = f"jsonb_path_exists({column}, {quoted(f'$.** ? ({wrong})')})"
    here = f"jsonb_path_exists(w.v, {quoted(f'$ ? ({wrong})')})"
    return f"{anywhere} AND EXISTS (SELECT FROM ({_reached(walk, column)}) w(v) WHERE {here})"


def _reached(walk: Walk, column: str) -> str:
    """A query of the elements that a `repeat` reaches, wherever it starts."""
    starts = " UNION ALL ".join(f"SELECT {_elements(start, column)}" for start in walk.starts)
    steps = ", ".join(f"({quoted(step)}::jsonpath)" for step in walk.steps)
    one_step = f"CROSS JOIN (VALUES {steps}) p(step) CROSS JOIN LATERAL jsonb_path_query"
    return (
        f"WITH RECURSIVE r(v) AS (SELECT q.v FROM ({starts}) b(v) {one_step}(b.v, p.step) q(v)"
        f" UNION ALL SELECT q.v FROM r {one_step}(r.v, p.step) q(v)) SELECT r.v FROM r"
    )


def _elements(shape: Shape, column: str) -> str:
    """A set-returning expression of the elements of a shape."""
    if shape.walk is None:
        return f"jsonb_path_query({column}, {quoted(shape.path)})"
    return f"jsonb_path_query(o.v, {quoted(shape.path)}) FROM ({_reached(shape.walk, column)}) o(v)"


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
