"""A validated model -> one SELECT.

A select without iterator adds columns; `forEach` and `repeat` add a LATERAL row source, which crosses siblings and
repeats the values of the parent. An iteration over an element that FHIR allows at most once is a column of the row
source around it, and `forEach` adds a condition on that column. Only `unionAll`, and a `forEachOrNull` whose content
may be empty, need a subquery of their own.
"""
# ruff: noqa: S608 (writing SQL is the purpose)

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lambda_pipeline.errors import Problem
from lambda_pipeline.views import columns, fhir_types, fhirpath, type_rules, typed_tree
from lambda_pipeline.views.analysis import Analysis, UnknownElementError
from lambda_pipeline.views.definition_reader import ColumnModel, Select, Text, ViewModel
from lambda_pipeline.views.fhirpath import FhirPathError
from lambda_pipeline.views.lowering import Lowering
from lambda_pipeline.views.place import Place
from lambda_pipeline.views.row_source import RowSource, indented
from lambda_pipeline.views.shapes import Shapes, Walk, guard
from lambda_pipeline.views.sql_text import identifier, quoted
from lambda_pipeline.views.view import RELATION_PLACEHOLDER, Column

STEP = typed_tree.Focus("step", None)
"""The element that a step of `repeat` is applied to."""

_RESOURCES = f"""(SELECT r.partition, r.id, r.version, r.body AS j
   FROM ({RELATION_PLACEHOLDER}) r
 OFFSET 0  -- a fence: without it the body would be parsed once per column
) s"""


@dataclass(frozen=True, slots=True)
class Output:
    """One column and its SQL.

    Attributes:
        null_row: its SQL in the row of an empty `forEachOrNull`.
        strict: whether it is NULL by itself when the element of its iteration is NULL.
        broken: whether its type is unknown because of a problem.
    """

    column: Column
    sql: str
    null_row: str
    strict: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a select contributes: row sources in the order of their joins, conditions on rows, and columns."""

    sources: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationScope:
    """What expressions see.

    Attributes:
        focus: the current element.
        row_index: SQL of `%rowIndex`.
        source: the row source for whose rows they are evaluated.
        broken: whether an iterator around it has a problem, so that the paths inside cannot be checked.
    """

    focus: typed_tree.Focus
    row_index: str
    source: RowSource
    broken: bool = False


class Statement:
    """Compiles one model.

    Args:
        version: the version of FHIR that the model is of.
        model: the view.
        file: name of the file, for problems.

    Attributes:
        problems: every problem found; with any, the statement is not usable.
        warnings: paths that may give several values where one is needed.
        lowering: after `compile`, its `complete_body` is valid.
    """

    def __init__(self, version: fhir_types.FhirVersion, model: ViewModel, file: str) -> None:
        self.model = model
        self.file = file
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.analysis = Analysis(version, model.resource, model.constants)
        self.lowering = Lowering(model.resource)
        self.shapes = Shapes(model.resource)

    def compile(self) -> tuple[str, tuple[Column, ...]]:
        """The statement, with `{{relation}}` for the relation, and the columns."""
        resources = RowSource("s")
        root = EvaluationScope(self.analysis.resource, "0", resources, broken=not self.model.resource)
        conditions = [self._condition(where, root) for where in self.model.where]
        condition = guard(self.shapes.resource, "s.j", " AND ".join(conditions))
        resources.keep()
        part = self._together(self._select(select, root) for select in self.model.select)
        self._unique(part)
        # `where` is compiled first because it decides for which rows the rest is computed; readers expect it last.
        self.problems.sort(key=lambda problem: problem.path.startswith("$.where"))
        lines = ["SELECT s.partition AS _partition,", "       s.id AS _id,", "       s.version AS _version"]
        for output in part.outputs:
            lines[-1] += ","
            lines += [f"       {_comment(output.column)}", f"       {output.sql} AS {identifier(output.column.name)}"]
        rest = guard(self.shapes.resource, "s.j", walks=self.shapes.walks)
        condition = f"CASE WHEN {condition} THEN {rest} END" if condition and rest else condition or rest
        item = resources.around(_RESOURCES, condition)
        lines += [f"  FROM {indented(item, 7)}", *part.sources]
        lines += _where(part.conditions)
        return "\n".join(lines), tuple(output.column for output in part.outputs)

    # ---- selects -----------------------------------------------------------------------------------------------------

    def _select(self, select: Select, scope: EvaluationScope) -> Part:
        if select.for_each is not None:
            return self._for_each(select, select.for_each, scope)
        if select.for_each_or_null is not None:
            return self._for_each_or_null(select, select.for_each_or_null, scope)
        if select.repeat:
            return self._repeat(select, scope)
        return self._content(select, scope)

    def _content(self, select: Select, scope: EvaluationScope) -> Part:
        """Own columns, then nested selects, then the union: the order of columns in the specification."""
        own = Part(outputs=tuple(self._column(column, scope) for column in select.column))
        nested = (self._select(inner, scope) for inner in select.select)
        return self._together((own, *nested, self._union(select, scope)))

    @staticmethod
    def _together(parts: Iterable[Part]) -> Part:
        listed = list(parts)
        return Part(
            tuple(source for part in listed for source in part.sources),
            tuple(condition for part in listed for condition in part.conditions),
            tuple(output for part in listed for output in part.outputs),
        )

    def _for_each(self, select: Select, path: Text, scope: EvaluationScope) -> Part:
        node, inner = self._iteration(path, scope)
        content = self._content(select, inner)
        if node.many:
            source = f" CROSS JOIN LATERAL {self._rows(node, scope, inner, content)}"
            return replace(content, sources=(source, *content.sources))
        return replace(content, conditions=(f"{self._element(inner)} IS NOT NULL", *content.conditions))

    def _for_each_or_null(self, select: Select, path: Text, scope: EvaluationScope) -> Part:
        node, inner = self._iteration(path, scope)
        content = self._content(select, inner)
        element = self._element(inner)
        if not content.sources and not content.conditions:
            rows = (f"  LEFT JOIN LATERAL {self._rows(node, scope, inner, content)} ON true",) if node.many else ()
            return Part(rows, outputs=tuple(_or_null(output, f"{element} IS NULL") for output in content.outputs))
        if node.many:
            source = f" CROSS JOIN LATERAL {self._rows(node, scope, inner, content)}"
            found = replace(content, sources=(source, *content.sources))
            absent = f"NOT {self._lowered(scope, lambda: self.lowering.exists(node))}"
        else:
            found = replace(content, conditions=(f"{element} IS NOT NULL", *content.conditions))
            absent = f"{element} IS NULL"
        nothing = ", ".join(f"{output.null_row} AS {identifier(output.column.name)}" for output in content.outputs)
        return self._derived((_subselect(found), f"SELECT {nothing} WHERE {absent}"), content.outputs)

    def _union(self, select: Select, scope: EvaluationScope) -> Part:
        if not select.union_all:
            return Part()
        branches = [self._select(branch, scope) for branch in select.union_all]
        first = branches[0].outputs
        for index, branch in enumerate(branches[1:], start=1):
            path = f"{select.json_path}.unionAll[{index}]"
            self._same_columns(first, branch.outputs, path)
        return self._derived([_subselect(branch) for branch in branches], first)

    def _derived(self, queries: Iterable[str], outputs: tuple[Output, ...]) -> Part:
        alias = self.lowering.new_alias("u")
        body = indented("\nUNION ALL\n".join(queries), 9)
        return Part(
            (f" CROSS JOIN LATERAL (\n         {body}\n       ) {alias}",),
            outputs=tuple(replace(o, sql=f"{alias}.{identifier(o.column.name)}", strict=False) for o in outputs),
        )

    def _repeat(self, select: Select, scope: EvaluationScope) -> Part:
        inner, steps = self._repeated(select, scope)
        walk, alias = self.lowering.new_alias("w"), inner.focus.name
        start = self.lowering.place(scope.focus).base
        values = ", ".join(f"({index}::bigint, {quoted(step)}::jsonpath)" for index, step in enumerate(steps, start=1))
        item = (
            f"(WITH RECURSIVE {walk}(v, k) AS (\n"
            f"   SELECT q.v, ARRAY[p.n, q.o]\n"
            f"     FROM (VALUES {values}) p(n, step)\n"
            f"    CROSS JOIN LATERAL jsonb_path_query({start}, p.step) WITH ORDINALITY q(v, o)\n"
            f"   UNION ALL\n"
            f"   SELECT q.v, {walk}.k || ARRAY[p.n, q.o]\n"
            f"     FROM {walk} CROSS JOIN (VALUES {values}) p(n, step)\n"
            f"    CROSS JOIN LATERAL jsonb_path_query({walk}.v, p.step) WITH ORDINALITY q(v, o))\n"
            f" SELECT {walk}.v, row_number() OVER (ORDER BY {walk}.k) AS o FROM {walk}) {alias}"
        )
        content = self._content(select, inner)
        item = inner.source.around(item)
        return replace(content, sources=(f" CROSS JOIN LATERAL {indented(item, 7)}", *content.sources))

    def _iteration(self, path: Text, scope: EvaluationScope) -> tuple[typed_tree.Node, EvaluationScope]:
        """The typed tree of an iterator's path, and the scope of the selects inside."""
        node = self._path(path, scope)
        if node is None:
            return typed_tree.Nothing(), replace(scope, broken=True)
        alias = self.lowering.new_alias("f")
        focus = self.analysis.focus(alias, node)
        self.shapes.bind(focus, self.shapes.read(node))
        if node.many:
            self.lowering.bind(focus, f"{alias}.v", f"{alias}.x")
            return node, EvaluationScope(focus, f"({alias}.o - 1)::integer", RowSource(alias))
        one = self._lowered(scope, lambda: self.lowering.json(node))
        self.lowering.bind(focus, scope.source.column(one, "e"))
        return node, EvaluationScope(focus, "0", scope.source)

    def _element(self, scope: EvaluationScope) -> str:
        """The column that holds the current element."""
        return self.lowering.place(scope.focus).base

    def _rows(self, node: typed_tree.Node, scope: EvaluationScope, inner: EvaluationScope, content: Part) -> str:
        """The FROM item of an iteration: a row per element."""
        written = (*content.sources, *content.conditions, *(output.sql for output in content.outputs))
        alias = inner.source.alias
        counted, paired = (
            any(name in text for text in written) or inner.source.mentions(name)
            for name in (inner.row_index, f"{alias}.x")
        )
        item = self._lowered(scope, lambda: self.lowering.from_item(node, alias, paired=paired))
        if not (counted or paired):
            item = f"{self._lowered(scope, lambda: self.lowering.rows(node))} {alias}(v)"
        return indented(inner.source.around(item), 7)

    def _path(self, text: Text, scope: EvaluationScope, *, unknown_is_error: bool = True) -> typed_tree.Node | None:
        """The typed tree of an expression; a choice element without type is refused. None if there is a problem.

        Raises:
            UnknownElementError: only if `unknown_is_error` is off.
        """

        def analyze(expression: fhirpath.Expression) -> typed_tree.Node:
            node = self.analysis.analyze(expression, scope.focus)
            type_rules.refuse_choice(node)
            return node

        return self._analyzed(text, scope, analyze, unknown_is_error=unknown_is_error)

    def _repeated(self, select: Select, scope: EvaluationScope) -> tuple[EvaluationScope, tuple[str, ...]]:
        """The scope of the selects inside a `repeat`, and its steps as jsonpath.

        A step may exist only for some of the elements that it is applied to (`answer.item` does not exist for the
        resource). A step that exists for none of them is a mistake, unless an element of that name exists
        elsewhere: such a step reaches nothing.
        """
        steps: dict[str, str] = {}
        unknown: dict[str, UnknownElementError] = {}
        nodes: list[tuple[str | None, typed_tree.Node]] = []
        reached: list[str | None] = []
        repeated = [scope.focus.type]
        for type_name in repeated:
            for path in select.repeat:
                try:
                    step = self._step(path, scope, type_name)
                except UnknownElementError as error:
                    unknown[path.path] = error
                    continue
                if step is None:
                    return replace(scope, broken=True), ()
                steps[path.path] = self.lowering.place(step).elements
                reached.append(step.type)
                nodes.append((type_name, step))
                repeated += [step.type] if step.type not in repeated else []
        for path in select.repeat:
            if path.path not in steps:
                steps[path.path] = self._step_to_nothing(path, unknown[path.path])
        types = set(reached)
        if len(types) > 1:
            names = ", ".join(sorted(str(type_name) for type_name in types))
            at = f"{select.json_path}.repeat"
            self._problem(at, f"repeat reaches elements of several types ({names})", "write one select for each")
        alias = self.lowering.new_alias("f")
        focus = typed_tree.Focus(alias, next(iter(types), None))
        self.lowering.bind(focus, f"{alias}.v")
        walk = Walk(self.shapes.read(scope.focus), tuple(steps.values()))
        self.shapes.walks.append(walk)
        self.shapes.bind(focus, (walk.reached,))
        self._read_steps(nodes, (scope.focus, focus))
        broken = any(problem.path.startswith(f"{select.json_path}.repeat") for problem in self.problems)
        return EvaluationScope(focus, f"({alias}.o - 1)::integer", RowSource(alias), broken), tuple(steps.values())

    def _read_steps(
        self, steps: list[tuple[str | None, typed_tree.Node]], foci: tuple[typed_tree.Focus, typed_tree.Focus]
    ) -> None:
        """Record the elements that the steps of a `repeat` read, below its start and below what it reaches."""
        for applied_to, step in steps:
            for focus in foci:
                if applied_to == focus.type:
                    self.shapes.bind(STEP, self.shapes.read(focus))
                    self.shapes.read(step)
        self.shapes.bind(STEP, ())

    def _step(self, path: Text, scope: EvaluationScope, type_name: str | None) -> typed_tree.Node | None:
        """A step of `repeat` applied to an element of a type; None if there is a problem.

        Raises:
            UnknownElementError: the type does not have this element.
        """
        focus = replace(STEP, type=type_name)
        self.lowering.bind(focus, STEP.name)
        node = self._path(path, replace(scope, focus=focus), unknown_is_error=False)
        if node is not None and (node == focus or self.lowering.place(node).base != STEP.name):
            self._problem(path.path, f"{path.value!r} cannot be repeated: it is not a path of elements and filters")
            return None
        return node

    def _step_to_nothing(self, path: Text, unknown: UnknownElementError) -> str:
        parsed = fhirpath.parse(path.value)
        name = parsed.name if isinstance(parsed, fhirpath.Member) and parsed.target is None else ""
        if unknown.hint or not self.analysis.version.elements_elsewhere(name):
            self._problem(path.path, unknown.quoting(path.value), unknown.hint)
        return Place(STEP.name).member(name, repeats=True).elements

    # ---- columns -----------------------------------------------------------------------------------------------------

    def _column(self, model: ColumnModel, scope: EvaluationScope) -> Output:
        node = self._path(model.expression, scope)
        if node is not None and node.many and not model.collection:
            self.warnings.append(Problem(
                self.file, model.expression.path,
                f"{model.expression.value!r} can give several values; a resource that has several cannot be read",
                "write first() or forEach, or set collection to true",
            ))  # fmt: skip
        known = self._target(model, node)
        target = known or columns.Target("text", "text")
        make = columns.list_expression if model.collection else columns.expression
        sql = self._lowered(scope, lambda: make(self.lowering, node or typed_tree.Nothing(), target))
        column = Column(
            name=model.name, type=target.type, fhir_type=model.type, path=model.expression.value,
            collection=model.collection, indexed=model.indexed, description=model.description,
        )  # fmt: skip
        is_index = isinstance(node, typed_tree.RowIndex)
        return Output(
            column, sql,
            null_row=f"0::{target.type}" if is_index else f"NULL::{target.type}",
            strict=node is not None and not model.collection and _starts_at(node, scope.focus),
            broken=known is None,
        )  # fmt: skip

    def _target(self, model: ColumnModel, node: typed_tree.Node | None) -> columns.Target | None:
        if node is None:
            return None
        ansi = model.ansi.value if model.ansi else None
        try:
            return columns.target(node, declared=model.type, ansi=ansi, collection=model.collection)
        except columns.ColumnTypeError as error:
            tag = model.ansi.path if model.ansi else ""
            where = {"type": f"{model.json_path}.type", "tag": tag}.get(error.about, model.expression.path)
            self._problem(where, error.reason, error.hint)
        return None

    def _condition(self, where: Text, scope: EvaluationScope) -> str:
        node = self._analyzed(where, scope, lambda expression: self.analysis.criteria(expression, scope.focus))
        return "true" if node is None else self._lowered(scope, lambda: self.lowering.boolean(node))

    def _same_columns(self, first: tuple[Output, ...], other: tuple[Output, ...], path: str) -> None:
        expected = [output.column.name for output in first]
        found = [output.column.name for output in other]
        if expected != found:
            self._problem(
                path, f"this branch has the columns {', '.join(found)}, the first branch has {', '.join(expected)}",
                "give all branches of a unionAll the same columns in the same order",
            )  # fmt: skip
            return
        for one, two in zip(first, other, strict=True):
            if one.column.type != two.column.type and not (one.broken or two.broken):
                self._problem(
                    path, f"column {two.column.name} is {two.column.type}, but {one.column.type} in the first branch",
                    "declare the same type in all branches",
                )  # fmt: skip

    def _unique(self, part: Part) -> None:
        names = [output.column.name for output in part.outputs]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._problem("$.select", f"{names.count(name)} columns are named {name}")

    # ---- problems ----------------------------------------------------------------------------------------------------

    def _problem(self, path: str, reason: str, hint: str = "") -> None:
        problem = Problem(self.file, path, reason, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _analyzed(
        self,
        text: Text,
        scope: EvaluationScope,
        analyze: Callable[[fhirpath.Expression], typed_tree.Node],
        *,
        unknown_is_error: bool = True,
    ) -> typed_tree.Node | None:
        """The result of `analyze` for an expression; None if there is a problem here or in an iterator around it."""
        try:
            expression = fhirpath.parse(text.value)
            if scope.broken:
                return None
            node = analyze(expression)
        except FhirPathError as error:
            if isinstance(error, UnknownElementError) and not unknown_is_error:
                raise
            self._problem(text.path, error.quoting(text.value), error.hint)
            return None
        self.shapes.read(node)
        return node

    def _lowered(self, scope: EvaluationScope, write: Callable[[], str]) -> str:
        """Write SQL for the rows of a scope."""
        with self.lowering.within(scope.row_index, scope.source):
            return write()


def _subselect(part: Part) -> str:
    listed = ",\n       ".join(f"{output.sql} AS {identifier(output.column.name)}" for output in part.outputs)
    lines = [f"SELECT {listed}"]
    if part.sources:
        lines += ["  FROM (VALUES (0)) one(row)", *part.sources]
    return "\n".join(lines + _where(part.conditions))


def _where(conditions: tuple[str, ...]) -> list[str]:
    return [f" {'AND  ' if index else 'WHERE'} {condition}" for index, condition in enumerate(conditions)]


def _or_null(output: Output, is_null_row: str) -> Output:
    if output.strict:
        return output
    return replace(output, sql=f"CASE WHEN {is_null_row} THEN {output.null_row} ELSE {output.sql} END")


def _starts_at(node: typed_tree.Node, focus: typed_tree.Focus) -> bool:
    """Whether a path starts at this focus."""
    while isinstance(node, typed_tree.Member | typed_tree.Where | typed_tree.OfResource | typed_tree.At):
        node = node.target
    return node == focus


def _comment(column: Column) -> str:
    declared = f" ({column.fhir_type})" if column.fhir_type else ""
    return f"-- {column.name}: {' '.join(column.path.split())}{declared}"
