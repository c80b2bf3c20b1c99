"""Paths of the typed tree -> SQL.

A path becomes a `Place`: an SQL expression that yields jsonb, and a jsonpath below it. An operator, a function or a
column then evaluates it in one of four ways:

    rows        jsonb_path_query(base, path)
    existence   jsonb_path_exists(base, path)
    a list      jsonb_path_query_array(base, path)
    one value   base -> 'key' where FHIR allows only one; else (SELECT jsonb_path_query(base, path)), which fails with
                SQLSTATE 21000 if there are several

All SQL here takes elements to have the JSON shape of FHIR: `shapes` writes the check.

Everything stays in jsonpath's lax mode. A path that ends in a member gets `[*]`: lax mode leaves the last array whole.
"""
# ruff: noqa: S608, PLR0911 (writing SQL is the purpose; one case per class of node)

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from lambda_pipeline.views import collection_sql, fhir_types, quantities, temporal, temporal_checks, typed_tree
from lambda_pipeline.views.jsonpath_criteria import JsonpathCriteria
from lambda_pipeline.views.place import Place, jsonpath_literal
from lambda_pipeline.views.reference_keys import reference_key
from lambda_pipeline.views.row_source import RowSource
from lambda_pipeline.views.sql_text import json_string, quoted


class PathLowering(ABC):
    """Writes the paths of one ViewDefinition; `Lowering` adds single values.

    Args:
        resource_type: the type of the view's resources.

    Attributes:
        complete_body: whether the SQL so far reads `meta` of the resource, or reads `id` from its body.
    """

    def __init__(self, resource_type: str) -> None:
        self.resource_type = resource_type
        self.complete_body = False
        self._places: dict[str, Place] = {"resource": Place("s.j", is_column=True, is_cheap=True)}
        self._besides: dict[str, Place] = {}
        self._row_index = "0"
        self._source: RowSource | None = None
        self._aliases = 0
        self._criteria = JsonpathCriteria(self._note)

    def new_alias(self, letter: str) -> str:
        """A new table alias."""
        self._aliases += 1
        return f"{letter}{self._aliases}"

    def bind(self, focus: typed_tree.Focus, column: str, beside: str = "") -> None:
        """Set the jsonb column that holds the elements of a focus, and the one for what stands beside primitives."""
        self._places[focus.name] = Place(column, is_column=True, is_cheap=True)
        self._besides[focus.name] = Place(beside, is_cheap=True)

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

    def place(self, node: typed_tree.Node) -> Place:
        """The place of a node; the place of a computed value is the value as jsonb."""
        match node:
            case typed_tree.Focus(name):
                return self._places[name]
            case typed_tree.Beside(item):
                return self._besides[item.name]
            case typed_tree.Member(target, key, _, _, repeats):
                self._note(target, key)
                return self.place(target).member(key, repeats=repeats)
            case typed_tree.OfResource(target, resource_type):
                return self.place(target).filter(f'@."resourceType" == {json_string(resource_type)}')
            case typed_tree.Where():
                return self._filtered(node)
            case typed_tree.At(target, index):
                return self._at(target, index)
            case typed_tree.Last() | typed_tree.Single() | typed_tree.Slice() | typed_tree.Distinct():
                return self._part(node)
            case typed_tree.Union(left, right):
                return Place.of_array(collection_sql.union(self.rows(left), self.rows(right)))
        return self._computed(node)

    def rows(self, node: typed_tree.Node) -> str:
        """A set-returning function over the elements of a collection."""
        place = self.place(node)
        return f"jsonb_path_query({place.base}, {place.jsonpath})"

    def list(self, node: typed_tree.Node) -> str:
        """The collection as a jsonb array, `[]` when empty."""
        self._note_whole(node)
        place = self.place(node)
        return place.array if place.is_column else f"coalesce({place.array}, '[]')"

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
        alias, item, test = self.tested(node)
        return Place.of_array(f"(SELECT jsonb_agg({alias}.v ORDER BY {alias}.o) FROM {item} WHERE {test})")

    def tested(self, node: typed_tree.Where | typed_tree.All) -> tuple[str, str, str]:
        """A FROM item of the elements of a collection, its alias, and criteria on its rows: alias, item, criteria."""
        alias, test = self._test(node)
        return alias, self.from_item(node.target, alias, paired=f"{alias}.x" in test), test

    def _test(self, node: typed_tree.Where | typed_tree.All) -> tuple[str, str]:
        alias = self.new_alias("q")
        self.bind(node.item, f"{alias}.v", f"{alias}.x")
        with self.within(self._row_index, None):
            return alias, self.boolean(node.criteria)

    def from_item(self, node: typed_tree.Node, alias: str, *, paired: bool) -> str:
        """The elements of a collection as rows of a value `v` and a position `o`.

        Args:
            node: the collection.
            alias: of the FROM item.
            paired: whether the rows also have `x`, what stands beside a primitive element.
        """
        if not paired:
            return f"{self.rows(node)} WITH ORDINALITY {alias}(v, o)"
        return f"({self._pairs(node)}) {alias}(v, x, o)"

    def _pairs(self, node: typed_tree.Node) -> str:
        if isinstance(node, typed_tree.Where):
            alias, test = self._test(node)
            item = self.from_item(node.target, alias, paired=True)
            return f"SELECT {alias}.v, {alias}.x, row_number() OVER (ORDER BY {alias}.o) FROM {item} WHERE {test}"
        assert isinstance(node, typed_tree.Member), node
        element = Place("p.v").member(node.key, repeats=node.repeats)
        at_same_position = " -> (e.o - 1)::integer" if node.repeats else ""
        return (
            f"SELECT e.v, p.v -> {quoted('_' + node.key)}{at_same_position}, row_number() OVER (ORDER BY p.o, e.o)"
            f" FROM {self.rows(node.target)} WITH ORDINALITY p(v, o)"
            f" CROSS JOIN LATERAL jsonb_path_query(p.v, {element.jsonpath}) WITH ORDINALITY e(v, o)"
        )

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
        return Place(f"({place.array} -> {self._row_index if number is None else number})")

    def _part(self, node: typed_tree.Last | typed_tree.Single | typed_tree.Slice | typed_tree.Distinct) -> Place:
        """Some elements of a collection."""
        place = self.place(node.target)
        match node:
            case typed_tree.Last():
                return Place(f"({place.array} -> -1)")
            case typed_tree.Single():
                return Place(f"(SELECT {self.rows(node.target)})")
            case typed_tree.Slice(_, start, stop):
                return Place(place.array, path=f"[{start} to {'last' if stop is None else stop - 1}]", keys=None)
            case typed_tree.Distinct():
                return Place.of_array(collection_sql.distinct(self.rows(node.target)))

    def _computed(self, node: typed_tree.Node) -> Place:
        """The place of values that are computed."""
        match node:
            case typed_tree.ReferenceKey(many=True) | typed_tree.Boundary(many=True):
                return self._mapped(node)
            case typed_tree.Constant() if node.type != "integer64":
                return Place(f"{quoted(jsonpath_literal(node))}::jsonb")
            case typed_tree.QuantityConstant(value, unit):
                return Place(quantities.constant(value, unit))
            case typed_tree.Nothing():
                return Place("NULL::jsonb")
            case typed_tree.Apply(many=True):
                return Place.of_array(self.applied(node))
            case typed_tree.Conditional(criterion, then, otherwise) if node.many or not fhir_types.is_primitive(
                node.type
            ):
                lists = f"THEN {self.list(then)} ELSE {self.list(otherwise)}"
                return Place.of_array(f"(CASE WHEN {self.boolean(criterion)} {lists} END)")
        as_text = "::text" if node.type == "integer64" else ""  # as JSON writes it
        return Place(f"to_jsonb({self.value(node)}{as_text})")

    def _mapped(self, node: typed_tree.ReferenceKey | typed_tree.Boundary) -> Place:
        """The key or boundary of each element."""
        if isinstance(node, typed_tree.ReferenceKey):
            target: typed_tree.Node = typed_tree.Member(node.target, "reference", "string", many=True, repeats=False)
            one = reference_key("k.t", node.resource)
        else:
            target = node.target
            text = "k.t" if node.type == "decimal" else temporal_checks.checked("k.t", node.type)
            one = temporal.boundary(text, node.type, node.precision, high=node.high)
        return Place.of_array(
            f"(SELECT jsonb_agg(to_jsonb(m.v) ORDER BY k.o)"
            f" FROM (SELECT q.v #>> '{{}}', q.o FROM {self.rows(target)} WITH ORDINALITY q(v, o) OFFSET 0) k(t, o)"
            f" CROSS JOIN LATERAL (SELECT {one} OFFSET 0) m(v) WHERE m.v IS NOT NULL)"
        )

    def _note(self, target: typed_tree.Node, key: str) -> None:
        """Record that the body must be complete, if the step reads `id` or `meta` of the resource."""
        if target.type == self.resource_type and key in ("id", "meta"):
            self.complete_body = True

    def _note_whole(self, node: typed_tree.Node) -> None:
        if node.type == self.resource_type:
            self.complete_body = True

    def _one(self, place: Place) -> str:
        """The single element of a place; several fail."""
        if not place.path:
            return place.base
        if place.keys and place.is_cheap:
            return place.operator
        return f"(SELECT jsonb_path_query({place.base}, {place.jsonpath}))"

    @abstractmethod
    def value(self, node: typed_tree.Node) -> str:
        """The single value of a node; see `Lowering`."""

    @abstractmethod
    def boolean(self, node: typed_tree.Node) -> str:
        """The single value as boolean; see `Lowering`."""

    @abstractmethod
    def applied(self, node: typed_tree.Apply) -> str:
        """A function on single values; see `Lowering`."""
