"""ViewDefinition -> View: the functions that the rest of the project calls.

    JSON -> ViewModel (definition_reader) -> parse trees (fhirpath) -> typed trees (analysis) -> SELECT (select_builder)

Every problem of a file is reported at once: those of its JSON first, then those of its expressions. Without a resource
type, expressions are parsed but not checked. A view that states several versions of FHIR is compiled for each of them,
and must become the same SELECT.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lambda_pipeline.errors import Problem, ViewDefinitionError
from lambda_pipeline.views import table_limits
from lambda_pipeline.views.definition_reader import Reader
from lambda_pipeline.views.fhir_types import R4, FhirVersion, stated_versions
from lambda_pipeline.views.select_builder import Statement
from lambda_pipeline.views.view import MAX_VIEW_NAME, RELATION_PLACEHOLDER, Column, View


def compile_view(definition: Mapping[str, Any], *, file: str = "") -> View:
    """Compile one ViewDefinition.

    Args:
        definition: the ViewDefinition as JSON; decimals should be `Decimal`.
        file: name of its file, for messages.

    Raises:
        ViewDefinitionError: lists every problem.
    """
    view, problems = _compile(definition, file, named=False)
    if view is None or problems:
        raise ViewDefinitionError(problems)
    return view


def lint(text: str, file: str) -> list[Problem]:
    """Every problem of one file; empty if it compiles.

    Args:
        text: content of the file.
        file: its name.
    """
    return read_definition(text.encode(errors="surrogatepass"), file)[1]


def find_warnings(text: str, file: str) -> list[Problem]:
    """What the text of one file may do wrong although it compiles; empty if it does not compile.

    Args:
        text: content of the file.
        file: its name.
    """
    view, _ = read_definition(text.encode(errors="surrogatepass"), file)
    return list(view.warnings) if view else []


def read_definition(content: bytes, file: str) -> tuple[View | None, list[Problem]]:
    """The view of one file, which must have a name; and everything that is wrong with the file.

    Args:
        content: of the file.
        file: what to call it in problems.
    """
    repeated: list[Problem] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        repeated.extend(
            Problem(file, "$", f"the key {name!r} occurs twice in one object")
            for name in sorted({name for name in names if names.count(name) > 1})
        )
        return dict(items)

    try:
        definition = json.loads(content.decode("utf-8-sig"), parse_float=Decimal, object_pairs_hook=pairs)
    except UnicodeDecodeError:
        return None, [Problem(file, "$", "is not UTF-8")]
    except RecursionError:
        return None, [Problem(file, "$", "is nested too deeply")]
    except json.JSONDecodeError as error:
        return None, [Problem(file, f"line {error.lineno} column {error.colno}", f"is not JSON: {error.msg}")]
    view, problems = _compile(definition, file, named=True)
    return view, repeated + problems


def _compile(definition: Any, file: str, *, named: bool) -> tuple[View | None, list[Problem]]:
    """The view, or its problems; `named`: whether its name becomes the name of a relation."""
    is_object = isinstance(definition, Mapping)
    label = file or (str(definition.get("name") or "view") if is_object else "view")
    versions = stated_versions(definition.get("fhirVersion")) if is_object else ()
    try:
        compiled = [_compile_for(version, definition, file, label, named=named) for version in versions or (R4,)]
    except RecursionError:
        return None, [Problem(label, "$", "is nested too deeply")]
    problems = list(dict.fromkeys(problem for _, found in compiled for problem in found))
    view = compiled[0][0]
    if any(other is not None and view is not None and other.digest != view.digest for other, _ in compiled):
        names = " and ".join(map(str, versions))
        reason = f"the view would be read differently in {names}: an element has another type or may repeat"
        problems.append(Problem(label, "$.fhirVersion", reason, "write one view for each version"))
    return (None if problems else view), problems


def _compile_for(
    version: FhirVersion, definition: Any, file: str, label: str, *, named: bool
) -> tuple[View | None, list[Problem]]:
    """The view as a view of one version, or its problems."""
    reader = Reader(label, version)
    model = reader.view(definition)
    if model is None:
        return None, reader.problems
    if named and "name" not in definition:
        reader.problem("$", "name is missing", "the table of the view gets this name")
    if len(model.name) > MAX_VIEW_NAME:
        reader.problem("$.name", f"is longer than {MAX_VIEW_NAME} characters")
    if named and table_limits.is_taken(model.name):
        reader.problem("$.name", f"{model.name} is or may be the name of a table or index of the batch layer")
    statement = Statement(version, model, label)
    text, columns = statement.compile()
    if not columns and not reader.problems:
        reader.problem("$.select", "a view has at least one column")
    for limit in table_limits.exceeded(columns):
        reader.problem("$.select", limit, "split the view")
    if text.count(RELATION_PLACEHOLDER) != 1:
        reader.problem("$", f"the text {RELATION_PLACEHOLDER} is reserved and cannot be used")
    problems = reader.problems + statement.problems
    if problems:
        return None, problems
    complete = statement.lowering.complete_body
    view = View(
        name=model.name, resource=model.resource, columns=columns,
        digest=_digest(model.resource, text, columns, complete=complete),
        statement=text, complete_body=complete, file=file, description=model.description, definition=definition,
        warnings=tuple(statement.warnings),
    )  # fmt: skip
    return view, []


def _digest(resource: str, statement: str, columns: tuple[Column, ...], *, complete: bool) -> str:
    shape = [[column.name, column.type, column.collection, column.indexed] for column in columns]
    return hashlib.sha256(json.dumps([resource, statement, shape, complete], ensure_ascii=False).encode()).hexdigest()
