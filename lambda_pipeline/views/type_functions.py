"""FHIRPath functions and operators about types, `is` and `as`, and the choice between two values, `iif`."""

from collections.abc import Mapping

from lambda_pipeline.views import fhir_types, fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import ONE, TWO_OR_THREE, Function, Typing
from lambda_pipeline.views.path_functions import as_type, type_specifier, ways_to_exist


def is_type(
    version: fhir_types.FhirVersion, target: typed_tree.Node, argument: fhirpath.Expression, position: int
) -> typed_tree.Node:
    """Whether the element is of a type; empty if there is no element.

    Raises:
        FhirPathError: it can never be of that type, or there may be several elements.
    """
    wanted = type_specifier(version, argument)
    if isinstance(target, typed_tree.Nothing):
        return target
    if target.many:
        reason = "is takes one element, and this may give several"
        raise FhirPathError(reason, position, "use it inside where(), or write first()")
    of_type: typed_tree.Node
    if isinstance(target, typed_tree.Choice):
        types = [name for name in target.types if fhir_types.is_kind_of(name, wanted)]
        if not types:
            raise FhirPathError(
                f"{target.name} does not have the type {wanted}", argument.position,
                f"its types are {', '.join(target.types)}",
            )  # fmt: skip
        ways = tuple(way for name in types for way in ways_to_exist(type_rules.narrow(target, name)))
        of_type = typed_tree.Exists(ways, negated=False)
    elif target.type in fhir_types.ABSTRACT_RESOURCES:
        of_type = typed_tree.Exists((as_type(version, target, argument, position),), negated=False)
    elif target.type is not None and fhir_types.is_kind_of(target.type, wanted):
        of_type = typed_tree.Constant(value=True, type="boolean")
    else:
        raise FhirPathError(f"this is {type_rules.article(target)}, so it is never {wanted}", position)
    there_is_one = typed_tree.Exists(ways_to_exist(target), negated=False)
    return typed_tree.Conditional(there_is_one, of_type, typed_tree.Nothing(), "boolean", many=False)


def as_one(
    version: fhir_types.FhirVersion, target: typed_tree.Node, argument: fhirpath.Expression, position: int
) -> typed_tree.Node:
    """The element if it is of a type, else empty; several elements cannot be read.

    Raises:
        FhirPathError: it can never be of that type.
    """
    node = as_type(version, target, argument, position)
    return typed_tree.Single(node, node.type) if node.many else node


def _is(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    return is_type(analysis.version, target, call.arguments[0], call.position)


def _as(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    return as_one(analysis.version, target, call.arguments[0], call.position)


def _iif(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    if call.target is not None:
        if target.many:
            reason = "iif takes one element, and this may give several"
            raise FhirPathError(reason, call.position, "use it inside where(), or write first()")
        focus = target
    criterion = analysis.boolean(call.arguments[0], focus)
    then, otherwise = (
        analysis.node(call.arguments[index], focus) if index < len(call.arguments) else typed_tree.Nothing()
        for index in (1, 2)
    )
    type_rules.refuse_choice(then)
    type_rules.refuse_choice(otherwise)
    common = type_rules.common_type(then, otherwise)
    if common is None and not isinstance(then, typed_tree.Nothing):
        raise FhirPathError(
            f"iif() gives values of one type, not {type_rules.article(then)} or {type_rules.article(otherwise)}",
            call.position,
        )
    return typed_tree.Conditional(criterion, then, otherwise, common, then.many or otherwise.many)


TYPE_FUNCTIONS: Mapping[str, Function] = {
    "is": Function(ONE, "an element, and a type", _is),
    "as": Function(ONE, "an element, and a type", _as),
    "iif": Function(
        TWO_OR_THREE, "one element; criteria on it, a value if they are true, and another", _iif, takes_empty=True
    ),
}
