"""FHIRPath operators whose operands may be empty or have several elements: `|`, `in`, `contains`, `&`."""

from collections.abc import Callable, Iterator, Mapping

from lambda_pipeline.views import fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import Typing


def _union(
    _analysis: Typing, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
) -> typed_tree.Node:
    if isinstance(left, typed_tree.Nothing):
        return right if isinstance(right, typed_tree.Nothing) else typed_tree.Distinct(right, right.type)
    if isinstance(right, typed_tree.Nothing):
        return typed_tree.Distinct(left, left.type)
    common = type_rules.common_type(left, right)
    if common is None:
        raise FhirPathError(
            f"| takes elements of one type, not {type_rules.article(left)} and {type_rules.article(right)}",
            expression.position,
        )
    return typed_tree.Union(left, right, common)


def _in(
    analysis: Typing, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
) -> typed_tree.Node:
    return _membership(analysis, expression, left, right)


def _contains(
    analysis: Typing, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
) -> typed_tree.Node:
    return _membership(analysis, expression, right, left)


def _membership(
    analysis: Typing, expression: fhirpath.Binary, item: typed_tree.Node, collection: typed_tree.Node
) -> typed_tree.Node:
    if isinstance(item, typed_tree.Nothing):
        return item
    comparison = type_rules.comparison_of(item.type)
    is_one_text = comparison not in ("date", "time", "quantity") and "integer64" not in (item.type, collection.type)
    if not is_one_text and comparison == type_rules.comparison_of(collection.type):
        return _equality_with_one(analysis, item, collection, str(comparison))
    if comparison is None or type_rules.common_type(item, collection) is None:
        raise FhirPathError(
            f"{expression.operator} compares values of one type, not {type_rules.article(item)}"
            f" with {type_rules.article(collection)}",
            expression.position,
        )
    return typed_tree.Membership(item, collection)


def _equality_with_one(
    analysis: Typing, item: typed_tree.Node, collection: typed_tree.Node, comparison: str
) -> typed_tree.Node:
    """Whether an element is equal: for values that may be equal although their JSON is not.

    An element for which it is not known (`2020` and `2020-01`) is not equal.
    """
    one = typed_tree.Single(item, item.type) if item.many else item
    tests = tuple(_has_equal(analysis, part, one, comparison) for part in _united(collection))
    true, false = (typed_tree.Constant(value=value, type="boolean") for value in (True, False))
    found = typed_tree.Conditional(typed_tree.Logic("or", tests), true, false, "boolean", many=False)
    there_is_one = typed_tree.Exists((one,), negated=False)
    return typed_tree.Conditional(there_is_one, found, typed_tree.Nothing(), "boolean", many=False)


def _has_equal(analysis: Typing, collection: typed_tree.Node, one: typed_tree.Node, comparison: str) -> typed_tree.Node:
    if isinstance(collection, typed_tree.Constant | typed_tree.QuantityConstant):
        return typed_tree.Compare("=", collection, one, comparison)
    element = analysis.new_item(collection)
    same = typed_tree.Compare("=", element, one, comparison)
    return typed_tree.Exists((typed_tree.Where(collection, element, same, collection.type, many=True),), negated=False)


def _united(collection: typed_tree.Node) -> Iterator[typed_tree.Node]:
    """The collections that a collection unites: literals among them may be less precise than FHIR's values."""
    if isinstance(collection, typed_tree.Union):
        yield from _united(collection.left)
        yield from _united(collection.right)
    else:
        yield collection


def _concatenation(
    _analysis: Typing, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
) -> typed_tree.Node:
    sides = [
        typed_tree.Constant("", "string") if isinstance(side, typed_tree.Nothing) else side for side in (left, right)
    ]
    if any(type_rules.comparison_of(side.type) != "text" for side in sides):
        raise FhirPathError(
            f"& takes two strings, not {type_rules.article(left)} and {type_rules.article(right)}", expression.position
        )
    return typed_tree.Apply("&", tuple(sides), "string")


Build = Callable[[Typing, fhirpath.Binary, typed_tree.Node, typed_tree.Node], typed_tree.Node]

COLLECTION_OPERATORS: Mapping[str, Build] = {
    "|": _union, "in": _in, "contains": _contains, "&": _concatenation,
}  # fmt: skip
