"""FHIRPath functions on single values: strings."""

from collections.abc import Mapping

from lambda_pipeline.views import fhirpath, type_rules, typed_tree
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.function import NONE, ONE, ONE_OR_TWO, TWO, Build, Function, Typing
from lambda_pipeline.views.regular_expressions import RegularExpressionError, to_postgresql


def _argument(
    analysis: Typing, call: fhirpath.Call, index: int, focus: typed_tree.Focus, comparison: str
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


def _constant_text(analysis: Typing, call: fhirpath.Call, index: int, focus: typed_tree.Focus) -> str:
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
        analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Focus
    ) -> typed_tree.Node:
        _refuse_other_than("text", target, call)
        given = tuple(_argument(analysis, call, index, focus, wanted) for index, wanted in enumerate(arguments))
        if any(isinstance(node, typed_tree.Nothing) for node in given):
            return typed_tree.Nothing()
        return typed_tree.Apply(call.name, (target, *given), result)

    return build


def _substring(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Focus
) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    given = [_argument(analysis, call, index, focus, "number") for index in range(len(call.arguments))]
    if isinstance(given[0], typed_tree.Nothing):
        return typed_tree.Nothing()
    given = [node for node in given if not isinstance(node, typed_tree.Nothing)]
    name = "substring" if len(given) == 1 else "substring of length"
    return typed_tree.Apply(name, (target, *given), "string")


def _replace(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Focus
) -> typed_tree.Node:
    pattern = _constant_text(analysis, call, 0, focus)
    _refuse_other_than("text", target, call)
    substitution = _argument(analysis, call, 1, focus, "text")
    if isinstance(substitution, typed_tree.Nothing):
        return substitution
    if not pattern:
        return typed_tree.Apply("replace nothing", (target, substitution), "string")
    return typed_tree.Apply("replace", (target, typed_tree.Constant(pattern, "string"), substitution), "string")


def _matches(
    analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Focus
) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    try:
        pattern = to_postgresql(_constant_text(analysis, call, 0, focus))
    except RegularExpressionError as error:
        raise FhirPathError(str(error), call.arguments[0].position) from None
    return typed_tree.Apply("matches", (target, typed_tree.Constant(pattern, "string")), "boolean")


def _split(analysis: Typing, target: typed_tree.Node, call: fhirpath.Call, focus: typed_tree.Focus) -> typed_tree.Node:
    _refuse_other_than("text", target, call)
    separator = typed_tree.Constant(_constant_text(analysis, call, 0, focus), "string")
    return typed_tree.Apply("split", (target, separator), "string", many=True)


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
}
