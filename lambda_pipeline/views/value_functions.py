"""FHIRPath functions on single values: strings, numbers, conversions."""

from collections.abc import Mapping
from decimal import Decimal

from lambda_pipeline.views import fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import NONE, ONE, ONE_OR_TWO, OPTIONAL, TWO, Build, Function, Typing
from lambda_pipeline.views.regular_expressions import RegularExpressionError, to_postgresql

MAX_PRECISION = 28
"""Decimal places; what FHIRPath demands of an engine."""


def _argument(
    analysis: Typing, call: fhirpath.Call, index: int, focus: typed_tree.Node, comparison: str
) -> typed_tree.Node:
    """An argument that has to be a string or a number, or is always empty.

    Raises:
        FhirPathError: it is of another type.
    """
    node = analysis.node(call.arguments[index], focus)
    type_rules.refuse_choice(node)
    if isinstance(node, typed_tree.Nothing) or type_rules.comparison_of(node.type) == comparison:
        return node
    wanted = "a string" if comparison == "text" else "a number"
    raise FhirPathError(f"{call.name}() takes {wanted}, not {type_rules.article(node)}", call.arguments[index].position)


def _constant_text(analysis: Typing, call: fhirpath.Call, index: int, focus: typed_tree.Node) -> str:
    node = _argument(analysis, call, index, focus, "text")
    if isinstance(node, typed_tree.Constant) and isinstance(node.value, str):
        return node.value
    raise FhirPathError(f"{call.name}() takes a string that is known before", call.arguments[index].position,
                        "write a literal or a constant")  # fmt: skip


def _refuse_other_than(comparison: str, target: typed_tree.Node, call: fhirpath.Call) -> None:
    type_rules.refuse_choice(target)
    if type_rules.comparison_of(target.type) != comparison:
        wanted = "a string" if comparison == "text" else "a number"
        raise FhirPathError(f"{call.name}() takes {wanted}, not {type_rules.article(target)}", call.position)


def _text_function(result: str, *arguments: str) -> Build:
    """A function on a string whose arguments are strings (`text`) or numbers (`number`)."""

    def build(
        analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node
    ) -> typed_tree.Node:
        _refuse_other_than("text", target, call)
        given = tuple(_argument(analysis, call, index, focus, wanted) for index, wanted in enumerate(arguments))
        if any(isinstance(node, typed_tree.Nothing) for node in given):
            return typed_tree.Nothing()
        return typed_tree.Apply(call.name, (target, *given), result)

    return build


def _substring(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node
) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    given = [_argument(analysis, call, index, focus, "number") for index in range(len(call.arguments))]
    if isinstance(given[0], typed_tree.Nothing):
        return typed_tree.Nothing()
    given = [node for node in given if not isinstance(node, typed_tree.Nothing)]
    name = "substring" if len(given) == 1 else "substring of length"
    return typed_tree.Apply(name, (target, *given), "string")


def _replace(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    pattern = _constant_text(analysis, call, 0, focus)
    _refuse_other_than("text", target, call)
    substitution = _argument(analysis, call, 1, focus, "text")
    if isinstance(substitution, typed_tree.Nothing):
        return substitution
    if not pattern:
        return typed_tree.Apply("replace nothing", (target, substitution), "string")
    return typed_tree.Apply("replace", (target, typed_tree.Constant(pattern, "string"), substitution), "string")


def _matches(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    try:
        pattern = to_postgresql(_constant_text(analysis, call, 0, focus))
    except RegularExpressionError as error:
        raise FhirPathError(str(error), call.arguments[0].position) from None
    return typed_tree.Apply("matches", (target, typed_tree.Constant(pattern, "string")), "boolean")


def _split(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    separator = typed_tree.Constant(_constant_text(analysis, call, 0, focus), "string")
    return typed_tree.Apply("split", (target, separator), "string", many=True)


def _number_function(result: str | None) -> Build:
    """A function on a number without arguments; `result` is None for the type of the number."""

    def build(
        _analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
    ) -> typed_tree.Node:
        _refuse_other_than("number", target, call)
        return typed_tree.Apply(call.name, (target,), result or str(target.type))

    return build


def _round(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node) -> typed_tree.Node:
    _refuse_other_than("number", target, call)
    if not call.arguments:
        return typed_tree.Apply("round", (target,), "decimal")
    precision = whole_number(analysis, call, 0)
    if not 0 <= precision <= MAX_PRECISION:
        reason = f"round() takes a precision between 0 and {MAX_PRECISION}"
        raise FhirPathError(reason, call.arguments[0].position)
    return typed_tree.Apply("round to", (target, typed_tree.Constant(Decimal(precision), "integer")), "decimal")


def whole_number(analysis: Typing, call: fhirpath.Call, index: int) -> int:
    """The whole number that an argument is.

    Raises:
        FhirPathError: it is not a literal or constant.
    """
    node = analysis.node(call.arguments[index], analysis.resource)
    if isinstance(node, typed_tree.Constant) and isinstance(node.value, Decimal) and node.value % 1 == 0:
        return int(node.value)
    raise FhirPathError(f"{call.name}() takes a whole number", call.arguments[index].position,
                        "write a literal or a constant")  # fmt: skip


def _conversion(result: str, **functions: str) -> Build:
    """A conversion to a type.

    Args:
        result: the type.
        functions: how a value compares, or its type -> the function that converts it; empty if it stays as it is.
    """

    def build(
        _analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, _focus: typed_tree.Node
    ) -> typed_tree.Node:
        type_rules.refuse_choice(target)
        comparison = type_rules.comparison_of(target.type)
        function = functions.get(str(target.type), functions.get(str(comparison)))
        if function is None:
            raise FhirPathError(f"{call.name}() does not take {type_rules.article(target)}", call.position)
        return typed_tree.Apply(function, (target,), result)

    return build


VALUE_FUNCTIONS: Mapping[str, Function] = {
    "startsWith": Function(ONE, "a string, and a prefix", _text_function("boolean", "text")),
    "endsWith": Function(ONE, "a string, and a suffix", _text_function("boolean", "text")),
    "contains": Function(ONE, "a string, and a part", _text_function("boolean", "text")),
    "indexOf": Function(ONE, "a string, and a part", _text_function("integer", "text")),
    "substring": Function(ONE_OR_TWO, "a string, a 0-based position, and a length", _substring),
    "replace": Function(TWO, "a string, a string constant, and a substitution", _replace),
    "matches": Function(ONE, "a string, and a regular expression that is a constant", _matches),
    "upper": Function(NONE, "a string", _text_function("string")),
    "lower": Function(NONE, "a string", _text_function("string")),
    "length": Function(NONE, "a string", _text_function("integer")),
    "trim": Function(NONE, "a string", _text_function("string")),
    "split": Function(ONE, "a string, and a separator that is a constant", _split),
    "abs": Function(NONE, "a number", _number_function(None)),
    "floor": Function(NONE, "a number", _number_function("integer")),
    "ceiling": Function(NONE, "a number", _number_function("integer")),
    "round": Function(OPTIONAL, "a number, and how many decimal places to keep", _round),
    "toString": Function(
        NONE, "a primitive value",
        _conversion("string", text="same", number="text", boolean="text", date="same", time="same"),
    ),
    "toInteger": Function(
        NONE, "a string, a boolean or an integer",
        _conversion("integer", text="integer of text", boolean="number of boolean",
                    integer="same", positiveInt="same", unsignedInt="same"),
    ),
    "toDecimal": Function(
        NONE, "a string, a boolean or a number",
        _conversion("decimal", text="decimal of text", boolean="number of boolean", number="same"),
    ),
    "toDate": Function(
        NONE, "a string, a date or a dateTime",
        _conversion("date", text="date of text", date="same", dateTime="day of text", instant="day of text"),
    ),
    "toDateTime": Function(
        NONE, "a string, a date or a dateTime", _conversion("dateTime", text="dateTime of text", date="same"),
    ),
}  # fmt: skip
