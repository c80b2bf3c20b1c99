"""Criteria as jsonpath predicates, which filter elements much faster than SQL does, where they say exactly the same."""
# ruff: noqa: PLR0911 (one case per class of node)

from collections.abc import Callable

from lambda_pipeline.views import typed_tree
from lambda_pipeline.views.place import jsonpath_literal
from lambda_pipeline.views.sql_text import json_string

OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class JsonpathCriteria:
    """Writes criteria.

    Args:
        note: called with each step (target, JSON name) that is written.
    """

    def __init__(self, note: Callable[[typed_tree.Node, str], None]) -> None:
        self._note = note

    def predicate(self, node: typed_tree.Node, item: typed_tree.Focus, *, negated: bool = False) -> str | None:
        """Criteria as a jsonpath predicate, or None if jsonpath cannot express them exactly.

        An unknown predicate drops the element, as an empty result does in FHIRPath. Negation is moved inward to the
        comparisons: `!(...)` around a comparison would be true for an element without value.
        """
        match node:
            case typed_tree.Logic(operator, operands):
                parts = [part for o in operands if (part := self.predicate(o, item, negated=negated)) is not None]
                symbol = " && " if (operator == "and") != negated else " || "
                return f"({symbol.join(parts)})" if len(parts) == len(operands) else None
            case typed_tree.Not(operand):
                return self.predicate(operand, item, negated=not negated)
            case typed_tree.Exists(targets):
                paths = [self._below(target, item, elements=True) for target in targets]
                if None in paths:
                    return None
                absent = node.negated != negated
                tests = [f"{'!' if absent else ''}exists({path})" for path in paths]
                return tests[0] if len(tests) == 1 else f"({(' && ' if absent else ' || ').join(tests)})"
            case typed_tree.Compare():
                return self._comparison(node, item, negated=negated)
            case typed_tree.Constant(bool() as value):
                return "1 == 1" if value != negated else "1 == 0"
            case typed_tree.Nothing():
                return "1 == 0"
            case typed_tree.Focus() | typed_tree.Member() if not node.many:
                path = self._below(node, item)
                return None if path is None else f"{path} == {'false' if negated else 'true'}"
        return None

    def _comparison(self, node: typed_tree.Compare, item: typed_tree.Focus, *, negated: bool) -> str | None:
        operator = OPPOSITE[node.operator] if negated else node.operator
        exact = node.comparison == "number" or (node.comparison in ("text", "boolean") and operator in ("=", "!="))
        if not exact or node.left.many or node.right.many or _is_text_of_number(node.left, node.right):
            return None
        sides = [
            jsonpath_literal(side) if isinstance(side, typed_tree.Constant) else self._below(side, item)
            for side in (node.left, node.right)
        ]
        if None in sides:
            return None
        test = f"{sides[0]} {'==' if operator == '=' else operator} {sides[1]}"
        # Null stands for an element without value; for jsonpath it differs from every value.
        return f"({test} && @ != null)" if operator == "!=" and "@" in sides else test

    def _below(self, node: typed_tree.Node, item: typed_tree.Focus, *, elements: bool = False) -> str | None:
        """A path below the element that criteria test, as jsonpath."""
        match node:
            case typed_tree.Focus():
                return "@" if node == item else None
            case typed_tree.Member(target, key):
                self._note(target, key)
                below = self._below(target, item)
                return None if below is None else f"{below}.{json_string(key)}" + ("[*]" if elements else "")
            case typed_tree.OfResource(target, resource_type):
                below = self._below(target, item)
                return None if below is None else f'{below} ? (@."resourceType" == {json_string(resource_type)})'
            case typed_tree.Where(target, inner, criteria):
                below, test = self._below(target, item), self.predicate(criteria, inner, negated=False)
                return None if below is None or test is None else f"{below} ? ({test})"
        return None


def _is_text_of_number(*sides: typed_tree.Node) -> bool:
    """Whether one of them is a number that JSON writes as a text; jsonpath would compare the texts."""
    return any(side.type == "integer64" and not isinstance(side, typed_tree.Constant) for side in sides)
