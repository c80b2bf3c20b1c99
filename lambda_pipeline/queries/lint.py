"""What is wrong with saved queries, over the views as their files define them; no server is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambda_pipeline.errors import BadRequestError, Problem, SavedQueryError
from lambda_pipeline.queries.columns import unknown_columns
from lambda_pipeline.queries.dependencies import Definitions, definitions_of, statement_of, view_of
from lambda_pipeline.queries.header import example_problem
from lambda_pipeline.queries.saved_query import QueryFile, SavedQuery
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.views import View, ViewFolder


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        problems: what keeps a query from being asked.
        warnings: what does not.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def lint_queries(files: Sequence[QueryFile], folder: ViewFolder, queries: Sequence[SavedQuery] = ()) -> Findings:
    """Check saved queries.

    Args:
        files: as they were read; those with the name of another one have a problem already.
        folder: the views.
        queries: further ones that those of the files may read.
    """
    known = [*(file.query for file in files if file.query), *queries]
    definitions = definitions_of(folder)
    views = {view.name: view for view in folder.views}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for file in files:
        problems += file.problems
        warnings += file.warnings
        if file.query:
            problems += _problems(file.query, definitions, views, known)
            warnings += _unread(file.query)
    return Findings(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(warnings)))


def _problems(
    query: SavedQuery, definitions: Definitions, views: Mapping[str, View], queries: Sequence[SavedQuery]
) -> list[Problem]:
    found = [Problem(query.file, "@param", problem) for each in query.parameters if (problem := example_problem(each))]
    if query.is_view and query.name.lower() in {name.lower() for name in definitions}:
        found.append(Problem(query.file, "@name", f"{query.name} is the name of a view too"))
    try:
        statement = statement_of(query, definitions, queries)
        guard(statement, definitions)
    except SavedQueryError as error:
        return [*found, *error.problems]
    except BadRequestError as error:
        return [*found, Problem(query.file, "$", error.message, error.hint)]
    return [
        *found,
        *(
            Problem(query.file, f"line {line}" if line else "$", reason, hint)
            for line, reason, hint in unknown_columns(query.sql, _tables(query, definitions, views))
        ),
    ]


def _tables(query: SavedQuery, definitions: Definitions, views: Mapping[str, View]) -> dict[str, list[str]]:
    """Columns by the name that the query has for their view."""
    if not query.dependencies:
        return {name: [column.name for column in view.columns] for name, view in views.items()}
    found = {}
    for dependency in query.dependencies:
        name = view_of(dependency, definitions)
        if name is not None and name in views:
            label = dependency.label if dependency.label == name else dependency.label.lower()
            found[label] = [column.name for column in views[name].columns]
    return found


def _unread(query: SavedQuery) -> list[Problem]:
    labels = {each.label: each for each in query.dependencies}
    try:
        read = {name.lower() for name in guard(query.sql, {*labels, *map(str.lower, labels)}).views_used}
    except BadRequestError:
        return []
    return [
        Problem(query.file, each.place or label, f"the dependency {label} is not read")
        for label, each in labels.items()
        if label.lower() not in read
    ]
