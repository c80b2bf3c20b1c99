"""A saved query as a FHIR `Library` of the profile SQLQuery or SQLView, as SQL on FHIR 3.0.0-ballot builds it."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lambda_pipeline.errors import Problem, SavedQueryError
from lambda_pipeline.queries.dependencies import Definitions, saved_view_of, view_of
from lambda_pipeline.queries.header import placeholders
from lambda_pipeline.queries.saved_query import Dependency, SavedQuery
from lambda_pipeline.serving.sql.guard import guard

_GUIDE = "http://hl7.org/fhir/uv/sql-on-fhir"
PROFILES = {False: f"{_GUIDE}/StructureDefinition/SQLQuery", True: f"{_GUIDE}/StructureDefinition/SQLView"}
"""By whether the query is one that others read."""
TYPE_SYSTEM = f"{_GUIDE}/CodeSystem/LibraryTypesCodes"
SQL_TEXT = f"{_GUIDE}/StructureDefinition/sql-text"
CONTENT_TYPE = "application/sql"


def library_text(library: Mapping[str, Any]) -> str:
    """A Library as JSON, in lines; the same text for the same values."""
    return json.dumps(library, ensure_ascii=False, indent=2) + "\n"


def build_library(query: SavedQuery, definitions: Definitions, queries: Sequence[SavedQuery] = ()) -> dict[str, Any]:
    """The Library of a query as JSON values, in the order of FHIR's elements.

    Args:
        query: any; one that declares no dependencies gets one for each view that it reads.
        definitions: of the views, for their URLs.
        queries: the SQLViews among them too.

    Raises:
        SavedQueryError: a view that it reads has no URL, or parameters of it have no types.
        BadRequestError: the guard refuses its SQL.
    """
    related = [_related(query, each, definitions, queries) for each in _dependencies(query, definitions)]
    problems = [each for each in related if isinstance(each, Problem)]
    if not query.declared and (used := placeholders(query.sql)):
        problems.append(Problem(query.file, "$", f":{used[0]} has no type", f"declare it: @param: {used[0]} string"))
    if query.is_view and not query.url:
        problems.append(Problem(query.file, "$", "an SQLView needs a URL", "add @url: ..."))
    if problems:
        raise SavedQueryError(problems)
    parameters = [
        {
            "name": each.name, "use": "in", "min": 1, "max": "1",
            **({"documentation": each.text} if each.text else {}), "type": each.type,
        }
        for each in query.parameters
    ]  # fmt: skip
    library = {
        "resourceType": "Library",
        "meta": {"profile": [PROFILES[query.is_view]]},
        "url": query.url,
        "version": query.version,
        "name": query.name,
        "title": query.title,
        "status": query.status,
        "type": {"coding": [{"system": TYPE_SYSTEM, "code": "sql-view" if query.is_view else "sql-query"}]},
        "publisher": query.publisher,
        "description": query.description,
        "author": [{"name": name} for name in query.authors],
        "relatedArtifact": related,
        "parameter": parameters,
        "content": [
            {
                "extension": [{"url": SQL_TEXT, "valueString": query.sql}],
                "contentType": CONTENT_TYPE,
                "data": base64.b64encode(query.sql.encode()).decode("ascii"),
            }
        ],
    }
    # FHIR has neither empty texts nor empty lists.
    return {key: value for key, value in library.items() if value}


def _dependencies(query: SavedQuery, definitions: Definitions) -> tuple[Dependency, ...]:
    if query.dependencies:
        return query.dependencies
    return tuple(Dependency(name, name) for name in guard(query.sql, definitions).views_used)


def _related(
    query: SavedQuery, dependency: Dependency, definitions: Definitions, queries: Sequence[SavedQuery]
) -> dict[str, str] | Problem:
    url, label = dependency.resource, dependency.label
    if ":" not in url:
        view = view_of(dependency, definitions)
        saved = saved_view_of(dependency, queries)
        url = str(definitions[view].get("url", "")) if view else saved.url if saved else ""
        if not url:
            hint = "give its definition a url, or name the dependency by its URL"
            return Problem(query.file, dependency.place or label, f"{dependency.resource} has no URL", hint)
    return {"type": "depends-on", "label": label, "resource": url}
