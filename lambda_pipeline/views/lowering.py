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
from decimal import Decimal

from lambda_pipeline.views import collection_sql, fhir_types, temporal, temporal_checks, typed_tree, value_sql
from lambda_pipeline.views.jsonpath_criteria import JsonpathCriteria
from lambda_pipeline.views.place import Place, jsonpath_literal
from lambda_pipeline.views.row_source import RowSource
from lambda_pipeline.views.sql_text import json_string, quoted


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
        self._criteria = JsonpathCriteria(self._note)

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
            case (
                typed_tree.Last()
                | typed_tree.Single()
                | typed_tree.Slice()
                | typed_tree.Distinct()
                | typed_tree.Union()
            ):
                return self._part(node)
            case typed_tree.ReferenceKey(many=True) | typed_tree.Boundary(many=True):
                return self._mapped(node)
            case typed_tree.Constant() | typed_tree.Nothing():
                return Place(self._json_constant(node))
            case typed_tree.Apply(many=True):
                return Place(self._applied(node), path="[*]", keys=None)
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
        criteria = self._criteria.predicate(node.criteria, node.item)
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

    def _part(
        self,
        node: typed_tree.Last | typed_tree.Single | typed_tree.Slice | typed_tree.Distinct | typed_tree.Union,
    ) -> Place:
        """Some elements of a collection."""
        if isinstance(node, typed_tree.Union):
            return Place(collection_sql.union(self.rows(node.left), self.rows(node.right)), path="[*]", keys=None)
        place = self.place(node.target)
        everything = f"jsonb_path_query_array({place.base}, {place.jsonpath})"
        match node:
            case typed_tree.Last():
                return Place(f"({everything} -> -1)")
            case typed_tree.Single():
                return Place(f"(SELECT {self.rows(node.target)})")
            case typed_tree.Slice(_, start, stop):
                return Place(everything, path=f"[{start} to {'last' if stop is None else stop - 1}]", keys=None)
            case typed_tree.Distinct():
                return Place(collection_sql.distinct(self.rows(node.target)), path="[*]", keys=None)

    def _all(self, node: typed_tree.All) -> str:
        rows, alias = self.rows(node.target), self.new_alias("q")
        self.bind(node.item, f"{alias}.v")
        with self.within(self._row_index, None):
            test = self.boolean(node.criteria)
        return f"(NOT EXISTS (SELECT FROM {rows} {alias}(v) WHERE ({test}) IS NOT TRUE))"

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
            case typed_tree.Apply():
                return self._applied(node)
            case typed_tree.Aggregate(function, target):
                return collection_sql.AGGREGATES[function].format(rows=self.rows(target))
            case typed_tree.Boundary(target, high):
                return temporal.decimal_boundary(self.number(target), node.precision, high=high)
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
            case typed_tree.Apply():
                return self._applied(node)
            case typed_tree.All():
                return self._all(node)
            case typed_tree.Aggregate(function, target):
                return collection_sql.AGGREGATES[function].format(rows=self.rows(target))
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
            return place.operator
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
            case typed_tree.ReferenceKey() | typed_tree.Boundary() | typed_tree.Apply(many=True):
                return f"{self._one(self.place(node))} #>> '{{}}'"
        if node.type == "boolean":
            return f"({self.boolean(node)})::text"
        if isinstance(node, typed_tree.Apply) and node.type in fhir_types.TEXT_TYPES:
            return self._applied(node)
        return f"({self.number(node)})::text"

    def _applied(self, node: typed_tree.Apply) -> str:
        return value_sql.render(node.function, [self.value(argument) for argument in node.arguments])

    def _boundary_of(self, text: str, node: typed_tree.Boundary) -> str:
        match node.type:
            case "decimal":
                return temporal.decimal_boundary(f"({text})::numeric", node.precision, high=node.high)
            case "date":
                boundary = temporal.date_boundary(text, high=node.high)
            case "time":
                boundary = temporal.time_boundary(text, high=node.high)
            case _:
                boundary = temporal.date_time_boundary(text, high=node.high)
        return temporal.shortened(boundary, node.precision)

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
