"""Parse tree -> typed tree: checks names against a version of FHIR, infers types, refuses everything else.

An `Analysis` serves one ViewDefinition: it knows the resource type and the constants, and it numbers the foci.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NoReturn

from lambda_pipeline.views import fhir_types, fhirpath, functions, type_functions, type_rules, typed_tree
from lambda_pipeline.views.collection_operators import COLLECTION_OPERATORS
from lambda_pipeline.views.fhirpath import FhirPathError

COMPARISONS = frozenset(("=", "!=", "<", "<=", ">", ">="))
ENVIRONMENT = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
"""Variables with a fixed string (FHIR R4, section 2.9.1.4); a constant of the same name replaces them."""

RESERVED_VARIABLES = frozenset(("resource", "rootResource", "context", "rowIndex"))


class Analysis:
    """Turns parse trees of one ViewDefinition into typed trees.

    Args:
        version: the version of FHIR that names are checked against.
        resource_type: type of the resources of the view.
        constants: the view's constants.

    Attributes:
        resource: the focus of the resource itself.
    """

    def __init__(
        self, version: fhir_types.FhirVersion, resource_type: str, constants: Mapping[str, typed_tree.Constant]
    ) -> None:
        self.version = version
        self.resource = typed_tree.Focus("resource", resource_type)
        self.constants = constants
        self._items = 0
        self._collections: dict[str, typed_tree.Node] = {}
        self._context = self.resource

    def analyze(self, expression: fhirpath.Expression, context: typed_tree.Focus) -> typed_tree.Node:
        """The typed tree of a whole expression that is evaluated on `context`.

        Raises:
            FhirPathError: an unknown name, a type error, or a feature that is not supported.
        """
        self._context = context
        return self.node(expression, context)

    def criteria(self, expression: fhirpath.Expression, context: typed_tree.Focus) -> typed_tree.Node:
        """The same for an expression that must be boolean.

        Raises:
            FhirPathError: as for `analyze`, or the expression is not boolean.
        """
        self._context = context
        return self.boolean(expression, context)

    def new_item(self, target: typed_tree.Node) -> typed_tree.Focus:
        """A new focus for the elements of a collection, which criteria test."""
        self._items += 1
        return self.focus(f"item{self._items}", target)

    def focus(self, name: str, target: typed_tree.Node) -> typed_tree.Focus:
        """A focus for the elements of a collection."""
        self._collections[name] = target
        return typed_tree.Focus(name, target.type)

    def node(self, expression: fhirpath.Expression, focus: typed_tree.Node) -> typed_tree.Node:  # noqa: C901, PLR0911 (one case per class)
        """The typed tree of a part of an expression, evaluated on `focus` as `$this`."""
        match expression:
            case fhirpath.Literal(_, type_name, value):
                return typed_tree.Constant(value, type_name)
            case fhirpath.Quantity(_, value, unit):
                return typed_tree.QuantityConstant(value, unit)
            case fhirpath.EmptyCollection():
                return typed_tree.Nothing()
            case fhirpath.This():
                return focus
            case fhirpath.Variable():
                return self._variable(expression)
            case fhirpath.Member(position, None, name):
                is_type_prefix = name == focus.type and self.version.is_resource(name)
                return focus if is_type_prefix else self.member(focus, name, position)
            case fhirpath.Member(position, target, name) if target is not None:
                return self.member(self.node(target, focus), name, position)
            case fhirpath.Call():
                return self._call(expression, focus)
            case fhirpath.Index():
                return self._index(expression, focus)
            case fhirpath.Unary():
                return self._unary(expression, focus)
            case fhirpath.Binary():
                return self._binary(expression, focus)
        raise AssertionError(expression)

    def member(self, target: typed_tree.Node, name: str, position: int) -> typed_tree.Node:
        """One step of navigation.

        Raises:
            FhirPathError: the type does not have this element, or the target is a choice element of several types.
        """
        if isinstance(target, typed_tree.Choice):
            target = self._only_type_with(target, name, position)
        if target == self.resource and name == "id":
            return typed_tree.ResourceKey()
        if fhir_types.is_primitive(target.type):
            return self._member_of_primitive(target, name, position)
        if target.type is None:
            return self._member_of_unknown(target, name, position)
        element = self.version.elements(target.type).get(name)
        if element is None:
            self._refuse_name(target.type, name, position)
        many = target.many or element.many
        if len(element.types) > 1:
            return typed_tree.Choice(target, name, element.types, many, element.many, position)
        type_name = element.types[0]
        return typed_tree.Member(target, element.key(type_name), type_name, many, element.many)

    def boolean(self, expression: fhirpath.Expression, focus: typed_tree.Node) -> typed_tree.Node:
        """The typed tree of criteria.

        Raises:
            FhirPathError: the expression is not boolean.
        """
        return type_rules.known_boolean(self.node(expression, focus), _start(expression))

    def _only_type_with(self, choice: typed_tree.Choice, name: str, position: int) -> typed_tree.Node:
        having = [type_name for type_name in choice.types if name in self.version.elements(type_name)]
        if len(having) == 1:
            return type_rules.narrow(choice, having[0])
        if not having:
            known = {element for type_name in choice.types for element in self.version.elements(type_name)}
            hint = fhir_types.suggestion(name, known)
            raise FhirPathError(f"none of the types of {choice.name} has an element {name!r}", position, hint)
        shown = ", ".join(having[:6]) + (", ..." if len(having) > 6 else "")
        raise FhirPathError(
            f"several types of {choice.name} have an element {name!r} ({shown})", position,
            f"write {choice.name}.ofType({having[0]}).{name}",
        )  # fmt: skip

    def _member_of_primitive(self, target: typed_tree.Node, name: str, position: int) -> typed_tree.Node:
        if name not in ("extension", "id"):
            raise FhirPathError(f"{type_rules.article(target)} has no element {name!r}", position)
        sibling = self._sibling(target)
        if sibling is None:
            raise FhirPathError(
                f"{name} of a primitive value can be read only where the path names the element", position,
                f"as in birthDate.{name}",
            )  # fmt: skip
        if name == "id":
            return typed_tree.Member(sibling, "id", "string", target.many, repeats=False)
        return typed_tree.Member(sibling, "extension", "Extension", many=True, repeats=True)

    def _sibling(self, target: typed_tree.Node) -> typed_tree.Node | None:
        """The node that holds id and extensions of a primitive one; None if nothing leads to them."""
        if isinstance(target, typed_tree.Member):
            return type_rules.sibling(target)
        if not isinstance(target, typed_tree.Focus):
            return None
        collection = self._collections.get(target.name)
        while isinstance(collection, typed_tree.Where):
            collection = collection.target
        if not isinstance(collection, typed_tree.Member):
            return None
        if not collection.many:
            return type_rules.sibling(collection)
        return typed_tree.Beside(target, collection)

    def _member_of_unknown(self, target: typed_tree.Node, name: str, position: int) -> typed_tree.Node:
        if isinstance(target, typed_tree.Nothing):
            return target
        if not self.version.elements_elsewhere(name):
            raise FhirPathError(f"{self.version} has no element {name!r}", position)
        return typed_tree.Member(target, name, None, many=True, repeats=True)

    def _refuse_name(self, type_name: str, name: str, position: int) -> NoReturn:
        if type_name in fhir_types.ABSTRACT_RESOURCES:
            raise UnknownElementError(
                f"not every resource has an element {name!r}", position, f"write ofType(...).{name}"
            )
        hint = self.version.narrowing(type_name, name)
        hint = hint or fhir_types.suggestion(name, set(self.version.elements(type_name)))
        raise UnknownElementError(f"{type_name} has no element {name!r} in {self.version}", position, hint)

    def _variable(self, variable: fhirpath.Variable) -> typed_tree.Node:
        name = variable.name
        if name == "rowIndex":
            return typed_tree.RowIndex()
        if name in ("resource", "rootResource"):
            return self.resource
        if name == "context":
            return self._context
        if name in self.constants:
            return self.constants[name]
        if name not in ENVIRONMENT:
            hint = fhir_types.suggestion(name, {*self.constants, *RESERVED_VARIABLES, *ENVIRONMENT})
            raise FhirPathError(f"constant %{name} is not defined", variable.position, hint)
        return typed_tree.Constant(ENVIRONMENT[name], "uri")

    def _call(self, call: fhirpath.Call, focus: typed_tree.Node) -> typed_tree.Node:
        function = functions.FUNCTIONS.get(call.name)
        if call.name in functions.NOT_OF_THE_RESOURCE:
            raise FhirPathError(
                f"{call.name}() is not supported: a view must be a function of its resource", call.position,
                "compare with a date, or filter the answers of the view",
            )  # fmt: skip
        if function is None:
            hint = fhir_types.suggestion(call.name, set(functions.FUNCTIONS))
            raise FhirPathError(f"function {call.name}() is not supported", call.position, hint)
        if len(call.arguments) not in function.arguments:
            takes = " or ".join(map(str, function.arguments))
            raise FhirPathError(f"{call.name}() takes {takes} arguments", call.position, function.accepts)
        target = self.node(call.target, focus) if call.target is not None else focus
        if isinstance(target, typed_tree.Nothing) and not function.takes_empty:
            return target
        return function.build(self, target, call, focus)

    def _index(self, expression: fhirpath.Index, focus: typed_tree.Node) -> typed_tree.Node:
        target = self.node(expression.target, focus)
        index = self.node(expression.index, focus)
        whole = isinstance(index, typed_tree.Constant) and index.type in ("integer", "positiveInt", "unsignedInt")
        if not (whole or isinstance(index, typed_tree.RowIndex)):
            raise FhirPathError("an index must be a whole number, a constant or %rowIndex", _start(expression.index))
        type_rules.refuse_choice(target)
        return typed_tree.At(target, index, target.type)

    def _unary(self, expression: fhirpath.Unary, focus: typed_tree.Node) -> typed_tree.Node:
        operand = self.node(expression.operand, focus)
        type_rules.refuse_choice(operand)
        if isinstance(operand, typed_tree.Nothing):
            return operand
        if operand.type not in fhir_types.NUMBER_TYPES:
            raise FhirPathError(
                f"{expression.operator} takes a number, not {type_rules.article(operand)}", expression.position
            )
        if expression.operator == "+":
            return operand
        if isinstance(operand, typed_tree.Constant) and isinstance(operand.value, Decimal):
            return typed_tree.Constant(-operand.value, operand.type)
        return typed_tree.Negative(operand, type_rules.number_type(operand))

    def _binary(self, expression: fhirpath.Binary, focus: typed_tree.Node) -> typed_tree.Node:
        operator = expression.operator
        if operator in ("and", "or"):
            operands = tuple(self.boolean(operand, focus) for operand in _chain(expression))
            return typed_tree.Logic(operator, operands)  # type: ignore[arg-type]
        if operator in ("xor", "implies"):
            sides = (self.boolean(side, focus) for side in (expression.left, expression.right))
            return self._two_booleans(operator, *sides)
        if operator in ("is", "as"):
            of_type = type_functions.is_type if operator == "is" else type_functions.as_one
            return of_type(self.version, self.node(expression.left, focus), expression.right, expression.position)
        left, right = self.node(expression.left, focus), self.node(expression.right, focus)
        type_rules.refuse_choice(left)
        type_rules.refuse_choice(right)
        return self._two_values(expression, left, right)

    def _two_values(
        self, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
    ) -> typed_tree.Node:
        operator = expression.operator
        if operator in ("|", "in", "contains", "&"):
            return COLLECTION_OPERATORS[operator](self, expression, left, right)
        if operator not in (*COMPARISONS, "+", "-", "*", "/", "div", "mod"):
            raise FhirPathError(f"operator {operator} is not supported", expression.position)
        if isinstance(left, typed_tree.Nothing) or isinstance(right, typed_tree.Nothing):
            return typed_tree.Nothing()
        if operator in COMPARISONS:
            return self._compare(expression, left, right)
        return self._arithmetic(expression, left, right)

    @staticmethod
    def _two_booleans(operator: str, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
        if operator == "implies":
            return typed_tree.Logic("or", (typed_tree.Not(left), right))
        if isinstance(left, typed_tree.Nothing) or isinstance(right, typed_tree.Nothing):
            return typed_tree.Nothing()
        return typed_tree.Compare("!=", left, right, "boolean")

    def _compare(self, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> typed_tree.Node:
        operator = expression.operator
        comparison = type_rules.comparison_of(left.type)
        comparable = comparison is not None and comparison == type_rules.comparison_of(right.type)
        if not comparable or (comparison == "json" and left.type != right.type):
            raise FhirPathError(
                f"{operator} compares values of one type, not {type_rules.article(left)}"
                f" with {type_rules.article(right)}",
                expression.position,
                _literal_hint(left, right),
            )
        if operator in ("=", "!=") and left.type != right.type and (left.many or right.many):
            self._refuse_texts_of_numbers(expression, left, right)
        if operator not in ("=", "!=") and comparison in ("json", "boolean"):
            raise FhirPathError(f"{operator} does not work on {type_rules.article(left)}", expression.position)
        return typed_tree.Compare(operator, left, right, comparison)  # type: ignore[arg-type]

    @staticmethod
    def _refuse_texts_of_numbers(expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node) -> None:
        if "integer64" in (left.type, right.type):
            raise FhirPathError(
                f"{expression.operator} does not compare several values, {type_rules.article(left)}"
                f" with {type_rules.article(right)}", expression.position, "write first() or exists($this = ...)",
            )  # fmt: skip

    def _arithmetic(
        self, expression: fhirpath.Binary, left: typed_tree.Node, right: typed_tree.Node
    ) -> typed_tree.Node:
        operator = expression.operator
        numbers = [node.type in fhir_types.NUMBER_TYPES for node in (left, right)]
        if all(numbers) and operator in ("div", "mod"):
            whole = operator == "div" and "decimal" in (left.type, right.type)
            return typed_tree.Apply(
                operator, (left, right), "integer" if whole else type_rules.number_type(left, right)
            )
        if all(numbers):
            result = "decimal" if operator == "/" else type_rules.number_type(left, right)
            return typed_tree.Arithmetic(operator, left, right, result)  # type: ignore[arg-type]
        if (
            operator == "+"
            and type_rules.comparison_of(left.type) == "text"
            and type_rules.comparison_of(right.type) == "text"
        ):
            return typed_tree.Apply("+", (left, right), "string")
        raise FhirPathError(
            f"{operator} takes two numbers{' or two strings' if operator == '+' else ''}, "
            f"not {type_rules.article(left)} and {type_rules.article(right)}", expression.position,
        )  # fmt: skip


class UnknownElementError(FhirPathError):
    """The type does not have an element of this name in the version of the view."""


def _literal_hint(left: typed_tree.Node, right: typed_tree.Node) -> str:
    both = {type_rules.comparison_of(left.type), type_rules.comparison_of(right.type)}
    if both == {"date", "text"}:
        return "a date is written @2020-01-31, or is a constant with valueDate or valueDateTime"
    if both == {"time", "text"}:
        return "a time is written @T10:30:00, or is a constant with valueTime"
    return ""


def _chain(expression: fhirpath.Binary) -> list[fhirpath.Expression]:
    """The operands of `a or b or c ...`; as one list, some hundred codes do not become a deep tree."""
    operands: list[fhirpath.Expression] = []
    left: fhirpath.Expression = expression
    while isinstance(left, fhirpath.Binary) and left.operator == expression.operator:
        operands.append(left.right)
        left = left.left
    return [left, *reversed(operands)]


def _start(expression: fhirpath.Expression) -> int:
    """Where an expression begins in its text."""
    while True:
        match expression:
            case fhirpath.Binary(left=inner):
                expression = inner
            case fhirpath.Member(target=inner) | fhirpath.Call(target=inner) if inner is not None:
                expression = inner
            case fhirpath.Index(target=inner):
                expression = inner
            case _:
                return expression.position
