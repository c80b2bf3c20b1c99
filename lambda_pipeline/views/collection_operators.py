"""FHIRPath operators whose operands may be empty or have several elements: `|`, `in`, `contains`, `&`."""

from collections.abc import Callable, Mapping

from lambda_pipeline.views import fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError


def _union(expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
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


def _in(expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
    return _membership(expression, left, right)


def _contains(expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
    return _membership(expression, right, left)


def _membership(expression: fhirpath.Binary, item: typed_tree.Node, collection: typed_tree.Node) -> typed_tree.Node:
    if isinstance(item, typed_tree.Nothing):
        return item
    comparison = type_rules.comparison_of(item.type)
    if comparison in ("date", "time", "quantity"):
        raise FhirPathError(
            f"{expression.operator} does not compare {type_rules.article(item)}", expression.position,
            "write exists($this = ...)",
        )  # fmt: skip
    if comparison is None or type_rules.common_type(item, collection) is None:
        raise FhirPathError(
            f"{expression.operator} compares values of one type, not {type_rules.article(item)}"
            f" with {type_rules.article(collection)}",
            expression.position,
        )
    return typed_tree.Membership(item, collection)


def _concatenation(expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
    sides = [
        typed_tree.Constant("", "string") if isinstance(side, typed_tree.Nothing) else side for side in (left, right)
    ]
    if any(type_rules.comparison_of(side.type) != "text" for side in sides):
        raise FhirPathError(
            f"& takes two strings, not {type_rules.article(left)} and {type_rules.article(right)}", expression.position
        )
    return typed_tree.Apply("&", tuple(sides), "string")


COLLECTION_OPERATORS: Mapping[str, Callable[[fhirpath.Binary, typed_tree.Node, typed_tree.Node], typed_tree.Node]] = {
    "|": _union, "in": _in, "contains": _contains, "&": _concatenation,
}  # fmt: skip
