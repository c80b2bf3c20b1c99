"""Typed tree -> SQL expressions: single values, on top of the paths of `path_lowering`.

Some SQL names a text several times, to check a date or to split a reference. Such a text becomes a column of its row
source (`row_source`), unless it belongs to an element that only criteria test.
"""
# ruff: noqa: S608, PLR0911 (writing SQL is the purpose; one case per class of node)

from collections.abc import Callable
from decimal import Decimal

from lambda_pipeline.views import (
    collection_sql,
    fhir_types,
    quantities,
    temporal,
    temporal_checks,
    typed_tree,
    value_sql,
)
from lambda_pipeline.views.path_lowering import PathLowering
from lambda_pipeline.views.reference_keys import reference_key
from lambda_pipeline.views.sql_text import quoted, whole_number_of_text


class Lowering(PathLowering):
    """Writes typed trees of one ViewDefinition as SQL."""

    def value(self, node: typed_tree.Node) -> str:
        """The single value of a node as text, numeric, boolean or jsonb, according to its type; NULL when empty."""
        if node.type == "boolean":
            return self.boolean(node)
        if node.type in fhir_types.NUMBER_TYPES:
            return self.number(node)
        if node.type in fhir_types.TEXT_TYPES:
            return self.text(node)
        return self.json(node)

    def json(self, node: typed_tree.Node) -> str:
        """The single value as jsonb."""
        self._note_whole(node)
        return self._one(self.place(node))

    def text(self, node: typed_tree.Node) -> str:
        """The single value of any primitive type as text; fails on a date or time that is not FHIR."""
        if isinstance(node, typed_tree.Path) and node.type in fhir_types.TEMPORAL_TYPES:
            return self.temporal_text(node, node.type)
        if isinstance(node, typed_tree.Path) and node.type == "integer64":
            return f"({self.number(node)})::text"
        return self.written(node)

    def temporal_text(self, node: typed_tree.Node, fhir_type: str) -> str:
        """The single value as text; fails if it is not a value of a type of dates or times."""
        return self.naming(node, lambda text: temporal_checks.checked(text, fhir_type))

    def written(self, node: typed_tree.Node) -> str:
        """The single value as written, not checked."""
        if not (isinstance(node, typed_tree.Path) or node.many):
            return self._computed_text(node)
        place = self.place(node)
        if place.keys and place.is_cheap:
            return place.text_operator
        return f"{self._one(place)} #>> '{{}}'"

    def number(self, node: typed_tree.Node) -> str:
        """The single value as numeric; decimals keep the scale as written."""
        match node:
            case typed_tree.Constant(Decimal() as value):
                return f"({value:f})::numeric" if value < 0 else f"{value:f}::numeric"
            case typed_tree.Arithmetic(operator, left, right):
                a, b = self.number(left), self.number(right)
                return f"trim_scale({a} / nullif({b}, 0))" if operator == "/" else f"({a} {operator} {b})"
            case typed_tree.Negative(operand):
                return f"(- {self.number(operand)})"
            case typed_tree.RowIndex():
                return f"({self._row_index})::numeric"
            case typed_tree.Boundary(target, high, many=False):
                return temporal.decimal_boundary(self.number(target), node.precision, high=high)
            case typed_tree.Nothing():
                return "NULL::numeric"
        computed = self._of_any_type(node, self.number)
        if not computed and node.type == "integer64":
            return self.naming(node, whole_number_of_text)
        # A cast from jsonb refuses strings; a cast from its text would accept them, even 'NaN' and 'Infinity'.
        return computed or f"nullif({self._one(self.place(node))}, 'null')::numeric"

    def boolean(self, node: typed_tree.Node) -> str:
        """The single value as boolean; NULL stands for empty."""
        match node:
            case typed_tree.Constant(bool() as value):
                return "true" if value else "false"
            case typed_tree.Nothing():
                return "NULL::boolean"
            case typed_tree.Logic(operator, operands):
                return f"({f' {operator.upper()} '.join(self.boolean(operand) for operand in operands)})"
            case typed_tree.Not(operand):
                return f"(NOT {self.boolean(operand)})"
            case typed_tree.Exists(targets, negated):
                tests = " OR ".join(self.exists(target) for target in targets)
                return f"(NOT ({tests}))" if negated else f"({tests})"
            case typed_tree.Compare():
                return f"({self._compared(node)})"
            case typed_tree.All():
                return self._all(node)
            case typed_tree.Membership(item, collection):
                return collection_sql.membership(self.json(item), self.rows(collection))
        return self._of_any_type(node, self.boolean) or f"nullif({self._one(self.place(node))}, 'null')::boolean"

    def whole_number(self, node: typed_tree.Node) -> str:
        """The single number as a text that casts to an integer type; the cast fails if the number has a fraction."""
        if isinstance(node, typed_tree.RowIndex):
            return self._row_index
        return (
            f"{self.number(node)}::text"
            if isinstance(node, typed_tree.Path)
            else f"trim_scale({self.number(node)})::text"
        )

    def naming(self, node: typed_tree.Node, make: Callable[[str], str]) -> str:
        """SQL that names the single value, as written, several times."""
        written = self.written(node)
        if isinstance(node, typed_tree.Path):
            place = self.place(node)
            if place.is_cheap and place.keys is not None:
                return make(self._once(written))
        return f"(SELECT {make('b.t')} FROM (SELECT {written} OFFSET 0) b(t))"

    def _once(self, text: str) -> str:
        """A text that SQL names several times, computed once per row where possible."""
        return f"({text})" if self._source is None else self._source.column(text, "t")

    def _computed_text(self, node: typed_tree.Node) -> str:
        match node:
            case typed_tree.Constant(str() as value):
                return f"{quoted(value)}::text"
            case typed_tree.Nothing():
                return "NULL::text"
            case typed_tree.ResourceKey():
                return "s.id"
            case typed_tree.Join(target, separator):
                return self._joined(target, self.text(separator))
            case typed_tree.ReferenceKey(target, resource):
                reference = typed_tree.Member(target, "reference", "string", many=False, repeats=False)
                return self.naming(reference, lambda text: reference_key(text, resource))
            case typed_tree.Boundary(target, high, type_name) if type_name != "decimal":
                return temporal.boundary(self.text(target), type_name, node.precision, high=high)
        if node.type in fhir_types.TEXT_TYPES:
            return self._of_any_type(node, self.text)
        return f"({self.value(node)})::text"

    def _of_any_type(self, node: typed_tree.Node, write: Callable[[typed_tree.Node], str]) -> str:
        """Nodes that may have any type of value, `write` being the method for it; empty for another node."""
        match node:
            case typed_tree.Apply(many=False):
                return self.applied(node)
            case typed_tree.Conditional(criterion, then, otherwise, many=False):
                return f"(CASE WHEN {self.boolean(criterion)} THEN {write(then)} ELSE {write(otherwise)} END)"
            case typed_tree.Aggregate(function, target):
                return collection_sql.AGGREGATES[function].format(rows=self.rows(target))
        return ""

    def _joined(self, target: typed_tree.Node, separator: str) -> str:
        text = "q.v #>> '{}'"
        if target.type in fhir_types.TEMPORAL_TYPES:
            text = temporal_checks.checked(text, str(target.type))
        return f"(SELECT string_agg({text}, {separator} ORDER BY q.o) FROM {self.rows(target)} WITH ORDINALITY q(v, o))"

    def _all(self, node: typed_tree.All) -> str:
        _, item, test = self.tested(node)
        return f"(NOT EXISTS (SELECT FROM {item} WHERE ({test}) IS NOT TRUE))"

    def applied(self, node: typed_tree.Apply) -> str:
        """A function on single values."""
        return value_sql.render(node.function, [self.value(argument) for argument in node.arguments])

    def _compared(self, node: typed_tree.Compare) -> str:
        operator = "<>" if node.operator == "!=" else node.operator
        if node.comparison == "date":
            return temporal.compare_dates(self.text(node.left), node.operator, self.text(node.right))
        if node.comparison == "quantity":
            return quantities.compare(self.json(node.left), operator, self.json(node.right))
        if node.comparison == "time" and any(map(_lacks_seconds, (node.left, node.right))):
            return temporal.compare_times(self.text(node.left), node.operator, self.text(node.right))
        if node.comparison == "time":
            return f"({self.text(node.left)})::time {operator} ({self.text(node.right)})::time"
        if operator in ("=", "<>") and (node.left.many or node.right.many):
            return f"{self._whole(node.left)} {operator} {self._whole(node.right)}"
        left, right = self.value(node.left), self.value(node.right)
        if node.comparison == "text" and operator not in ("=", "<>"):
            return f'({left}) COLLATE "C" {operator} ({right})'
        return f"{left} {operator} {right}"

    def _whole(self, node: typed_tree.Node) -> str:
        """A collection as one jsonb array, NULL when empty: collections are equal if all elements are equal."""
        return f"nullif({self.list(node)}, '[]')"


def _lacks_seconds(node: typed_tree.Node) -> bool:
    return isinstance(node, typed_tree.Constant) and len(str(node.value)) < len("00:00:00")
