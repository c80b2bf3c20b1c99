"""A file of tests -> `ViewTests`. Every problem of the file is found here, also what its view cannot have.

A contract that is enforced and broken is a problem too: the definition is then not used, and what is published of the
view goes on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lambda_pipeline.documents import json_path, read_document
from lambda_pipeline.errors import BadRequestError, Problem, suggest
from lambda_pipeline.views.view import View
from lambda_pipeline.views.view_tests import TestCase, ViewTests, contract_breaches

SUFFIX = ".tests.yaml"

NUMBER_TYPES = ("smallint", "integer", "bigint", "numeric")
TEXT_TYPES = ("text", "varchar")
_CONTRACT = "keep the column under a new definition, or change the contract together with those who rely on it"


def tests_file(definition: Path) -> Path:
    """The file of tests that belongs to a file of a ViewDefinition, whether it is there or not."""
    return definition.with_name(f"{definition.name.removesuffix('.json')}{SUFFIX}")


def with_tests(view: View, file: Path) -> tuple[View, list[Problem]]:
    """A view with the tests of its file, and everything that is wrong with that file.

    Args:
        view: compiled.
        file: of the tests; a file that is not there holds none.
    """
    if not file.exists():
        return view, []
    try:
        content = read_document(file)
    except BadRequestError as error:
        return view, [Problem(file.name, "$", error.message.removeprefix(f"{file.name}: "))]
    try:
        tests = ViewTests.model_validate({} if content is None else content)
    except ValidationError as error:
        return view, [_problem(file.name, item) for item in error.errors()]
    problems = [*_wrong_columns(view, tests, file.name), *_wrong_examples(view, tests, file.name)]
    breaches = list(_breaches(view, tests, file.name))
    enforced = tests.contract is not None and tests.contract.enforced
    warnings = view.warnings if enforced else (*view.warnings, *breaches)
    return replace(view, tests=tests, warnings=warnings), problems + (breaches if enforced else [])


def _problem(file: str, item: Any) -> Problem:
    place = [part for part in item["loc"] if not _is_alternative(part)]
    if item["type"] == "extra_forbidden":
        close = suggest(str(place[-1]), _WORDS)
        return Problem(file, json_path(place), "is not a key here", f"did you mean {close}?" if close else "")
    reason = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return Problem(file, json_path(place), "is missing" if item["type"] == "missing" else reason)


def _is_alternative(part: int | str) -> bool:
    """Whether a part of a place is pydantic's name of one alternative of a type, which the document does not have."""
    return isinstance(part, str) and (part in ("bool", "int", "decimal", "str") or "[" in part)


def _wrong_columns(view: View, tests: ViewTests, file: str) -> Iterator[Problem]:
    types = {column.name: column.type for column in view.columns}
    for case in tests.cases():
        for column in case.columns:
            if column not in types:
                yield Problem(file, f"$.{case.kind}", *_no_column(view, column))
        if case.kind == "accepted_values" and case.columns[0] in types:
            yield from _wrong_values(case, types[case.columns[0]], file)
    for name, count in Counter(case.name for case in tests.cases()).items():
        if count > 1:
            yield Problem(file, "$", f"two tests would be called {name}", "write each test once")


def _wrong_values(case: TestCase, column_type: str, file: str) -> Iterator[Problem]:
    place = f"$.accepted_values.{case.columns[0]}"
    if column_type.startswith(TEXT_TYPES):
        fits, kind = all(isinstance(value, str) for value in case.values), "texts, in quotes where they look otherwise"
    elif column_type == "boolean":
        fits, kind = all(isinstance(value, bool) for value in case.values), "true or false"
    elif column_type.startswith(NUMBER_TYPES):
        fits, kind = not any(isinstance(value, bool | str) for value in case.values), "numbers"
    else:
        yield Problem(file, place, f"a column of type {column_type} cannot have accepted values")
        return
    if not fits:
        yield Problem(file, place, f"the column is {column_type}, and its values are {kind}")


def _wrong_examples(view: View, tests: ViewTests, file: str) -> Iterator[Problem]:
    known = {column.name for column in view.columns}
    for index, example in enumerate(tests.examples):
        place = f"$.examples[{index}]"
        if example.resource.get("resourceType") != view.resource:
            yield Problem(file, f"{place}.resource.resourceType", f"is not {view.resource}, which the view reads")
        for position, row in enumerate(example.rows):
            for column in row:
                if column not in known:
                    yield Problem(file, f"{place}.rows[{position}]", *_no_column(view, column))
        if len({frozenset(row) for row in example.rows}) > 1:
            yield Problem(file, f"{place}.rows", "its rows name different columns", "name the same ones in each row")
    for name, count in Counter(example.name for example in tests.examples).items():
        if count > 1:
            yield Problem(file, "$.examples", f"two examples are called {name!r}")


def _breaches(view: View, tests: ViewTests, file: str) -> Iterator[Problem]:
    if tests.contract is not None:
        types = {column.name: column.type for column in view.columns}
        for column, reason in contract_breaches(tests.contract, types):
            yield Problem(file, f"$.contract.columns.{column}", reason, _CONTRACT)


def _no_column(view: View, column: str) -> tuple[str, str]:
    names: Sequence[str] = [each.name for each in view.columns]
    close = suggest(column, names)
    return f"view {view.name} has no column {column}", f"did you mean {close}?" if close else ""


_WORDS = (*ViewTests.model_fields, "view", "column", "max_change_percent", "name", "resource", "rows", "enforced",
          "columns")  # fmt: skip
