"""FHIRPath functions that navigate: filters, choice elements, extensions, keys, boundaries."""

from collections.abc import Mapping

from lambda_pipeline.views import fhir_types, fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import NONE, ONE, OPTIONAL, Function, Typing
from lambda_pipeline.views.value_functions import MAX_PRECISION, whole_number

PRECISIONS: Mapping[str, Mapping[int, int]] = {
    "date": {4: 4, 6: 7, 8: 10},
    "dateTime": {4: 4, 6: 7, 8: 10, 12: 16, 14: 19, 17: 23},
    "instant": {14: 19, 17: 23},
    "time": {6: 8, 9: 12},
}
"""Digits that a boundary can have -> characters of its text without zone."""


def _where(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    item = analysis.new_item(target)
    criteria = analysis.boolean(call.arguments[0], item)
    return typed_tree.Where(target, item, criteria, target.type, target.many)


def _exists(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    if call.arguments:
        return typed_tree.Exists((_where(analysis, target, call, focus),), negated=False)
    return typed_tree.Exists(ways_to_exist(target), negated=False)


def _empty(
    _analysis: Typing, target: typed_tree.Node, _call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    return typed_tree.Exists(ways_to_exist(target), negated=True)


def ways_to_exist(target: typed_tree.Node) -> tuple[typed_tree.Node, ...]:
    """The paths by which an element can exist: a choice by each of its types, a primitive also by `_name` alone."""
    if isinstance(target, typed_tree.Choice):
        narrowed = (type_rules.narrow(target, type_name) for type_name in target.types)
        return tuple(way for node in narrowed for way in ways_to_exist(node))
    if isinstance(target, typed_tree.Member) and fhir_types.is_primitive(target.type):
        return (target, type_rules.sibling(target))
    return (target,)


def _extension(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node
) -> typed_tree.Node:
    url = analysis.node(call.arguments[0], focus)
    if not isinstance(url, typed_tree.Constant) or url.type not in fhir_types.TEXT_TYPES:
        raise FhirPathError("extension() takes a url as a string", call.arguments[0].position)
    extensions = analysis.member(target, "extension", call.position)
    item = analysis.new_item(extensions)
    same_url = typed_tree.Compare("=", typed_tree.Member(item, "url", "uri", many=False, repeats=False), url, "text")
    return typed_tree.Where(extensions, item, same_url, "Extension", many=True)


def _of_type(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    return as_type(analysis.version, target, call.arguments[0], call.position)


def as_type(
    version: fhir_types.FhirVersion, target: typed_tree.Node, argument: fhirpath.Expression, position: int
) -> typed_tree.Node:
    """The elements of a type.

    Raises:
        FhirPathError: there can never be one.
    """
    type_name = type_specifier(version, argument)
    if isinstance(target, typed_tree.Choice):
        if type_name not in target.types:
            raise FhirPathError(
                f"{target.name} does not have the type {type_name}",
                argument.position,
                f"its types are {', '.join(target.types)}",
            )
        return type_rules.narrow(target, type_name)
    if target.type in fhir_types.ABSTRACT_RESOURCES:
        if not version.is_concrete_resource(type_name):
            raise FhirPathError(f"{version} has no resource type {type_name}", argument.position)
        return typed_tree.OfResource(target, type_name, target.many)
    if target.type is None or not fhir_types.is_kind_of(target.type, type_name):
        raise FhirPathError(
            f"this is {type_rules.article(target)}, so it is never {type_name}", position,
            "ofType is for choice elements such as value[x], and for resources",
        )  # fmt: skip
    return target


def type_specifier(version: fhir_types.FhirVersion, argument: fhirpath.Expression) -> str:
    """The type that an argument names: `Quantity` or `FHIR.Quantity`."""
    if isinstance(argument, fhirpath.Member):
        namespace = argument.target
        if namespace is None or (isinstance(namespace, fhirpath.Member) and namespace.name == "FHIR"):
            if version.is_type(argument.name):
                return argument.name
            known = fhir_types.suggestion(argument.name, version.type_names())
            raise FhirPathError(f"{version} has no type {argument.name}", argument.position, known)
    raise FhirPathError("expected the name of a FHIR type", argument.position)


def _first(
    _analysis: Typing, target: typed_tree.Node, _call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    if not target.many:
        return target
    type_rules.refuse_choice(target)
    return typed_tree.At(target, None, target.type)


def _join(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    if target.type not in fhir_types.TEXT_TYPES:
        raise FhirPathError(f"join() takes strings, not {type_rules.article(target)}", call.position)
    separator: typed_tree.Node = typed_tree.Constant("", "string")
    if call.arguments:
        separator = analysis.node(call.arguments[0], focus)
        if not isinstance(separator, typed_tree.Constant) or separator.type not in fhir_types.TEXT_TYPES:
            raise FhirPathError("the separator of join() must be a string", call.arguments[0].position)
    return typed_tree.Join(target, separator)


def _not(_analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    return typed_tree.Not(type_rules.known_boolean(target, call.position))


def _resource_key(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    if target != analysis.resource:
        raise FhirPathError(
            "getResourceKey() takes the resource, not an element of it", call.position,
            "write %resource.getResourceKey()",
        )  # fmt: skip
    return typed_tree.ResourceKey()


def _reference_key(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    if target.type != "Reference":
        raise FhirPathError(f"getReferenceKey() takes a Reference, not {type_rules.article(target)}", call.position)
    resource = type_specifier(analysis.version, call.arguments[0]) if call.arguments else None
    if resource is not None and not analysis.version.is_concrete_resource(resource):
        raise FhirPathError(f"{resource} is not a resource type of {analysis.version}", call.arguments[0].position)
    return typed_tree.ReferenceKey(target, resource, target.many)


def _boundary(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
) -> typed_tree.Node:
    type_rules.refuse_choice(target)
    high = call.name == "highBoundary"
    if target.type == "Period":
        target = analysis.member(target, "end" if high else "start", call.position)
    if target.type not in ("decimal", "date", "dateTime", "instant", "time"):
        raise FhirPathError(
            f"{call.name}() takes decimal, date, dateTime, instant, time or Period, not {type_rules.article(target)}",
            call.position,
        )
    precision = whole_number(analysis, call, 0) if call.arguments else None
    if precision is not None and target.type == "decimal" and not 0 <= precision <= MAX_PRECISION:
        return typed_tree.Nothing()
    if precision is not None and target.type != "decimal":
        lengths = PRECISIONS[target.type]
        if precision not in lengths:
            known = ", ".join(map(str, lengths))
            reason = f"{call.name}() of {type_rules.article(target)} takes one of the precisions {known}"
            raise FhirPathError(reason, call.arguments[0].position)
        precision = lengths[precision]
    return typed_tree.Boundary(target, high, target.type, target.many, precision)


PATH_FUNCTIONS: Mapping[str, Function] = {
    "where": Function(ONE, "a collection, and criteria that are boolean", _where),
    "exists": Function(OPTIONAL, "a collection, a choice element included; criteria", _exists, takes_empty=True),
    "empty": Function(NONE, "as exists()", _empty, takes_empty=True),
    "first": Function(NONE, "a collection", _first),
    "ofType": Function(ONE, "a choice element and one of its types; resources and a resource type", _of_type),
    "extension": Function(ONE, "an element, and a url; of a primitive element `_name` is read", _extension),
    "join": Function(OPTIONAL, "strings, and a separator (default none)", _join),
    "not": Function(NONE, "one boolean", _not),
    "getResourceKey": Function(NONE, "the resource", _resource_key),
    "getReferenceKey": Function(OPTIONAL, "References, and a resource type", _reference_key),
    "lowBoundary": Function(OPTIONAL, "decimal, date, dateTime, instant, time, Period (its start)", _boundary),
    "highBoundary": Function(OPTIONAL, "decimal, date, dateTime, instant, time, Period (its end)", _boundary),
}
