"""Typed tree -> SQL expressions.

A path becomes a `Place`: an SQL expression that yields jsonb, and a jsonpath below it. An operator, a function or a
column then evaluates it in one of four ways:

    rows        jsonb_path_query(base, path)
    existence   jsonb_path_exists(base, path)
    a list      jsonb_path_query_array(base, path)
    one value   base -> 'key' where FHIR allows only one; else (SELECT jsonb_path_query(base, path)), which fails with
                SQLSTATE 21000 if there are several

All SQL here takes elements to have the JSON shape of FHIR: `shapes` writes the check. Some SQL names a text several
times, to check a date or to split a reference. Such a text becomes a column of its row source (`row_source`), unless it
belongs to an element that only criteria test.

Everything stays in jsonpath's lax mode. A path that ends in a member gets `[*]`: lax mode leaves the last array whole.
"""
# ruff: noqa: S608, PLR0911 (writing SQL is the purpose; one case per class of node)

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from lambda_pipeline.views import fhir_types, temporal, temporal_checks, typed_tree
from lambda_pipeline.views.row_source import RowSource
from lambda_pipeline.views.sql_text import json_string, quoted

OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes:
        base: SQL expression that yields one jsonb value, or NULL.
        path: jsonpath below it, without the leading `$`.
        keys: the same path as keys and positions, if FHIR allows at most one element there; else None.
        ends_in_member: whether the last step is a member.
        is_column: whether `base` is a plain column, which is never NULL.
        is_cheap: whether naming `base` twice costs little.
    """

    base: str
    path: str = ""
    keys: tuple[str | int, ...] | None = ()
    ends_in_member: bool = False
    is_column: bool = False
    is_cheap: bool = False

    @property
    def jsonpath(self) -> str:
        """The jsonpath as an SQL literal; it yields elements, never a whole array."""
        return quoted(self.elements)

    @property
    def elements(self) -> str:
        """The jsonpath, not quoted."""
        return "$" + self.path + ("[*]" if self.ends_in_member else "")

    def member(self, key: str, *, repeats: bool) -> "Place":
        """One step further."""
        keys = None if repeats or self.keys is None else (*self.keys, key)
        return replace(self, path=f"{self.path}.{json_string(key)}", keys=keys, ends_in_member=True)

    def member_at(self, key: str, index: int) -> "Place":
        """One step further, to one element of a list."""
        keys = None if self.keys is None else (*self.keys, key, index)
        return replace(self, path=f"{self.path}.{json_string(key)}[{index}]", keys=keys, ends_in_member=False)

    def filter(self, criteria: str) -> "Place":
        """Only the elements for which a jsonpath predicate is true."""
        return replace(self, path=f"{self.path} ? ({criteria})", keys=None, ends_in_member=False)


class Lowering:
    """Writes typed trees of one ViewDefinition as SQL.

    Args:
        resource_type: the type of the view's resources.

    Attributes:
        complete_body: whether the SQL so far reads `meta` of the resource, or reads `id` from its body.
    """

    def __init__(self, resource_type: str) -> None:
        self.resource_type = resource_type
        self.complete_body = False
        self._places: dict[str, Place] = {"resource": Place("s.j", is_column=True, is_cheap=True)}
        self._row_index = "0"
        self._source: RowSource | None = None
        self._aliases = 0

    def new_alias(self, letter: str) -> str:
        """A new table alias."""
        self._aliases += 1
        return f"{letter}{self._aliases}"

    def bind(self, focus: typed_tree.Focus, column: str) -> None:
        """Set the jsonb column that holds the elements of a focus."""
        self._places[focus.name] = Place(column, is_column=True, is_cheap=True)

    @contextmanager
    def within(self, row_index: str, source: RowSource | None) -> Iterator[None]:
        """Write for the rows of a source.

        Args:
            row_index: SQL of `%rowIndex` there.
            source: the row source that computes columns once per row; None if there is none for this row.
        """
        before = self._row_index, self._source
        self._row_index, self._source = row_index, source
        try:
            yield
        finally:
            self._row_index, self._source = before

    # ---- paths -------------------------------------------------------------------------------------------------------

    def place(self, node: typed_tree.Node) -> Place:
        """The place of a node; the place of a computed value is the value as jsonb."""
        match node:
            case typed_tree.Focus(name):
                return self._places[name]
            case typed_tree.Member(target, key, _, _, repeats):
                self._note(target, key)
                return self.place(target).member(key, repeats=repeats)
            case typed_tree.OfResource(target, resource_type):
                return self.place(target).filter(f'@."resourceType" == {json_string(resource_type)}')
            case typed_tree.Where():
                return self._filtered(node)
            case typed_tree.At(target, index):
                return self._at(target, index)
            case typed_tree.ReferenceKey(many=True) | typed_tree.Boundary(many=True):
                return self._mapped(node)
            case typed_tree.Constant() | typed_tree.Nothing():
                return Place(self._json_constant(node))
            case _:
                return Place(f"to_jsonb({self.value(node)})")

    def rows(self, node: typed_tree.Node) -> str:
        """A set-returning function over the elements of a collection."""
        place = self.place(node)
        return f"jsonb_path_query({place.base}, {place.jsonpath})"

    def list(self, node: typed_tree.Node) -> str:
        """The collection as a jsonb array, `[]` when empty."""
        self._note_whole(node)
        place = self.place(node)
        query = f"jsonb_path_query_array({place.base}, {place.jsonpath})"
        return query if place.is_column else f"coalesce({query}, '[]')"

    def exists(self, node: typed_tree.Node) -> str:
        """Whether the collection has an element: true or false, never NULL."""
        if not isinstance(node, typed_tree.Path) and not node.many:
            return f"({self.value(node)}) IS NOT NULL"
        place = self.place(node)
        query = f"jsonb_path_exists({place.base}, {place.jsonpath})"
        return query if place.is_column else f"coalesce({query}, false)"

    def _filtered(self, node: typed_tree.Where) -> Place:
        criteria = self._criteria(node.criteria, node.item, negated=False)
        if criteria is not None:
            return self.place(node.target).filter(criteria)
        rows, alias = self.rows(node.target), self.new_alias("q")
        self.bind(node.item, f"{alias}.v")
        with self.within(self._row_index, None):
            test = self.boolean(node.criteria)
        return Place(
            f"(SELECT jsonb_agg({alias}.v ORDER BY {alias}.o) FROM {rows} WITH ORDINALITY {alias}(v, o) WHERE {test})",
            path="[*]", keys=None,
        )  # fmt: skip

    def _at(self, target: typed_tree.Node, index: typed_tree.Node | None) -> Place:
        """One element: by its position in a single list, else out of the flattened list of lists."""
        number = 0 if index is None else int(index.value) if isinstance(index, typed_tree.Constant) else None
        if number is not None and not 0 <= number < 2**31:
            return Place("NULL::jsonb")
        if number is not None and isinstance(target, typed_tree.Member) and target.repeats and not target.target.many:
            self._note(target.target, target.key)
            return self.place(target.target).member_at(target.key, number)
        place = self.place(target)
        if index is None:
            return Place(f"jsonb_path_query_first({place.base}, {place.jsonpath})", is_cheap=place.is_cheap)
        return Place(
            f"(jsonb_path_query_array({place.base}, {place.jsonpath})"
            f" -> {self._row_index if number is None else number})"
        )

    def _mapped(self, node: typed_tree.ReferenceKey | typed_tree.Boundary) -> Place:
        if isinstance(node, typed_tree.ReferenceKey):
            rows, alias = (
                self.rows(typed_tree.Member(node.target, "reference", "string", many=True, repeats=False)),
                "k",
            )
            one = reference_key(f"{alias}.t", node.resource)
        else:
            rows, alias = self.rows(node.target), "k"
            text = f"{alias}.t"
            one = self._boundary_of(text if node.type == "decimal" else temporal_checks.checked(text, node.type), node)
        return Place(
            f"(SELECT jsonb_agg(to_jsonb(m.v) ORDER BY {alias}.o)"
            f" FROM (SELECT q.v #>> '{{}}', q.o FROM {rows} WITH ORDINALITY q(v, o) OFFSET 0) {alias}(t, o)"
            f" CROSS JOIN LATERAL (SELECT {one} OFFSET 0) m(v) WHERE m.v IS NOT NULL)",
            path="[*]", keys=None,
        )  # fmt: skip

    def _note(self, target: typed_tree.Node, key: str) -> None:
        """Record that the body must be complete, if the step reads `id` or `meta` of the resource."""
        if target.type == self.resource_type and key in ("id", "meta"):
            self.complete_body = True

    def _note_whole(self, node: typed_tree.Node) -> None:
        if node.type == self.resource_type:
            self.complete_body = True

    # ---- criteria as jsonpath ----------------------------------------------------------------------------------------

    def _criteria(self, node: typed_tree.Node, item: typed_tree.Focus, *, negated: bool) -> str | None:
        """Criteria as a jsonpath predicate, or None if jsonpath cannot express them exactly.

        An unknown predicate drops the element, as an empty result does in FHIRPath. Negation is moved inward to the
        comparisons: `!(...)` around a comparison would be true for an element without value.
        """
        match node:
            case typed_tree.Logic(operator, operands):
                parts = [part for o in operands if (part := self._criteria(o, item, negated=negated)) is not None]
                symbol = " && " if (operator == "and") != negated else " || "
                return f"({symbol.join(parts)})" if len(parts) == len(operands) else None
            case typed_tree.Not(operand):
                return self._criteria(operand, item, negated=not negated)
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
        if not exact or node.left.many or node.right.many:
            return None
        sides = [
            jsonpath_literal(side) if isinstance(side, typed_tree.Constant) else self._below(side, item)
            for side in (node.left, node.right)
        ]
        return None if None in sides else f"{sides[0]} {'==' if operator == '=' else operator} {sides[1]}"

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
                below, test = self._below(target, item), self._criteria(criteria, inner, negated=False)
                return None if below is None or test is None else f"{below} ? ({test})"
        return None

    # ---- single values -----------------------------------------------------------------------------------------------

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
        return self.written(node)

    def temporal_text(self, node: typed_tree.Node, fhir_type: str) -> str:
        """The single value as text; fails if it is not a value of a type of dates or times."""
        return self.naming(node, lambda text: temporal_checks.checked(text, fhir_type))

    def written(self, node: typed_tree.Node) -> str:
        """The single value as written, not checked."""
        if not isinstance(node, typed_tree.Path):
            return self._computed_text(node)
        place = self.place(node)
        if place.keys and place.is_cheap:
            return _operator(place, text=True)
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
            case typed_tree.Boundary(target, high):
                return temporal.decimal_boundary(self.number(target), high=high)
            case typed_tree.Nothing():
                return "NULL::numeric"
        if isinstance(node, typed_tree.Path):
            # A cast from jsonb refuses strings; a cast from its text would accept them, even 'NaN' and 'Infinity'.
            return f"nullif({self._one(self.place(node))}, 'null')::numeric"
        return f"({self.written(node)})::numeric"

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
        return f"nullif({self._one(self.place(node))}, 'null')::boolean"

    def whole_number(self, node: typed_tree.Node) -> str:
        """The single number as a text that casts to an integer type; the cast fails if the number has a fraction."""
        if isinstance(node, typed_tree.RowIndex):
            return self._row_index
        return (
            f"{self.number(node)}::text"
            if isinstance(node, typed_tree.Path)
            else f"trim_scale({self.number(node)})::text"
        )

    def _one(self, place: Place) -> str:
        """The single element of a place; several fail."""
        if not place.path:
            return place.base
        if place.keys and place.is_cheap:
            return _operator(place, text=False)
        return f"(SELECT jsonb_path_query({place.base}, {place.jsonpath}))"

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
            case typed_tree.Concatenation(left, right):
                return f"(({self.text(left)}) || ({self.text(right)}))"
            case typed_tree.Join(target, separator):
                return (
                    f"(SELECT string_agg(q.v #>> '{{}}', {self.text(separator)} ORDER BY q.o)"
                    f" FROM {self.rows(target)} WITH ORDINALITY q(v, o))"
                )
            case typed_tree.ReferenceKey(target, resource, many) if not many:
                reference = typed_tree.Member(target, "reference", "string", many=False, repeats=False)
                return self.naming(reference, lambda text: reference_key(text, resource))
            case typed_tree.Boundary(target, _, type_name, many) if not many and type_name != "decimal":
                return self._boundary_of(self.text(target), node)
            case typed_tree.ReferenceKey() | typed_tree.Boundary():
                return f"{self._one(self.place(node))} #>> '{{}}'"
        if node.type == "boolean":
            return f"({self.boolean(node)})::text"
        return f"({self.number(node)})::text"

    def _boundary_of(self, text: str, node: typed_tree.Boundary) -> str:
        match node.type:
            case "decimal":
                return temporal.decimal_boundary(f"({text})::numeric", high=node.high)
            case "date":
                return temporal.date_boundary(text, high=node.high)
            case "time":
                return temporal.time_boundary(text, high=node.high)
        return temporal.date_time_boundary(text, high=node.high)

    def _compared(self, node: typed_tree.Compare) -> str:
        operator = "<>" if node.operator == "!=" else node.operator
        if node.comparison == "date":
            return temporal.compare_dates(self.text(node.left), node.operator, self.text(node.right))
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

    def _json_constant(self, node: typed_tree.Constant | typed_tree.Nothing) -> str:
        if isinstance(node, typed_tree.Nothing):
            return "NULL::jsonb"
        return f"{quoted(jsonpath_literal(node))}::jsonb"


def jsonpath_literal(constant: typed_tree.Constant) -> str:
    """A constant in the notation of JSON and jsonpath."""
    match constant.value:
        case bool():
            return "true" if constant.value else "false"
        case Decimal():
            return f"{constant.value:f}"
    return json_string(constant.value)


def reference_key(text: str, resource: str | None) -> str:
    """The id in a relative reference; NULL for an absolute, contained, urn or conditional reference.

    `Patient/1/_history/2` has the key `1`. Without a type, any name that begins with a capital letter counts as a type.
    """
    if resource is None:
        is_relative = f"left({text}, 1) COLLATE \"C\" BETWEEN 'A' AND 'Z'"
    else:
        is_relative = f"{text} ^@ {quoted(resource + '/')}"
    return (
        f"CASE WHEN {is_relative} AND strpos({text}, '?') = 0 AND split_part({text}, '/', 3) IN ('', '_history')"
        f" THEN nullif(split_part({text}, '/', 2), '') END"
    )


def _operator(place: Place, *, text: bool) -> str:
    *inner, last = (quoted(key) if isinstance(key, str) else str(key) for key in place.keys or ("",))
    return "".join([place.base, *(f" -> {key}" for key in inner), f" {'->>' if text else '->'} {last}"])
