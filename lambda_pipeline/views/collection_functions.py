"""FHIRPath functions on collections: parts of them, and questions about all elements."""

from collections.abc import Mapping
from typing import Literal

from lambda_pipeline.views import fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import NONE, ONE, Build, Function, Typing
from lambda_pipeline.views.value_functions import whole_number


def _of_several(node: type[typed_tree.Last] | type[typed_tree.Single] | type[typed_tree.Distinct]) -> Build:
    """A function that leaves a single element as it is."""

    def build(
        _analysis: Typing, target: typed_tree.Node, _call: fhirpath.Call, _focus: typed_tree.Node
    ) -> typed_tree.Node:
        type_rules.refuse_choice(target)
        return node(target, target.type) if target.many else target

    return build


def _tail(_analysis: Typing, target: typed_tree.Node, _call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    return typed_tree.Slice(target, 1, None, target.type)


def _skip(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    number = whole_number(analysis, call, 0)
    return target if number <= 0 else typed_tree.Slice(target, number, None, target.type)


def _take(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    number = whole_number(analysis, call, 0)
    return typed_tree.Nothing() if number <= 0 else typed_tree.Slice(target, 0, number, target.type)


def _all(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    if isinstance(target, typed_tree.Nothing):
        return typed_tree.Constant(value=True, type="boolean")
    type_rules.refuse_choice(target)
    item = analysis.new_item(target)
    return typed_tree.All(target, item, analysis.boolean(call.arguments[0], item))


def _aggregate(
    function: Literal["count", "isDistinct", "allTrue", "anyTrue", "allFalse", "anyFalse"],
    result: Literal["boolean", "integer"] = "boolean",
) -> Build:
    def build(
        _analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
    ) -> typed_tree.Node:
        type_rules.refuse_choice(target)
        if function.endswith(("True", "False")) and target.type not in (None, "boolean"):
            raise FhirPathError(f"{call.name}() takes booleans, not {type_rules.article(target)}", call.position)
        return typed_tree.Aggregate(function, target, result)

    return build


COLLECTION_FUNCTIONS: Mapping[str, Function] = {
    "last": Function(NONE, "a collection", _of_several(typed_tree.Last)),
    "single": Function(NONE, "a collection of at most one element", _of_several(typed_tree.Single)),
    "tail": Function(NONE, "a collection", _tail),
    "skip": Function(ONE, "a collection, and how many elements", _skip),
    "take": Function(ONE, "a collection, and how many elements", _take),
    "distinct": Function(NONE, "a collection", _of_several(typed_tree.Distinct)),
    "isDistinct": Function(NONE, "a collection", _aggregate("isDistinct"), takes_empty=True),
    "count": Function(NONE, "a collection", _aggregate("count", "integer"), takes_empty=True),
    "all": Function(ONE, "a collection, and criteria that are boolean", _all, takes_empty=True),
    "allTrue": Function(NONE, "booleans", _aggregate("allTrue"), takes_empty=True),
    "anyTrue": Function(NONE, "booleans", _aggregate("anyTrue"), takes_empty=True),
    "allFalse": Function(NONE, "booleans", _aggregate("allFalse"), takes_empty=True),
    "anyFalse": Function(NONE, "booleans", _aggregate("anyFalse"), takes_empty=True),
}
