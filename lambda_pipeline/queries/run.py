"""Asking a saved query: the one way of Python, the command line and the jobs."""

from collections.abc import Mapping
from typing import Any, Unpack

from lambda_pipeline.queries.dependencies import statement_of, view_of
from lambda_pipeline.queries.saved_query import SavedQuery
from lambda_pipeline.queries.values import bind
from lambda_pipeline.serving import Answer, ReadOptions, Serving
from lambda_pipeline.serving.options import DEFAULTS, OptionValues


def ask_query(
    serving: Serving,
    query: SavedQuery,
    parameters: Mapping[str, Any] | None = None,
    *,
    options: ReadOptions = DEFAULTS,
    **changed: Unpack[OptionValues],
) -> Answer:
    """Rows of a saved query.

    Args:
        serving: answers it.
        query: any.
        parameters: a value for each parameter; of a declared type before any server is asked.
        options: how the question is answered.
        changed: single options that differ, such as `mode="batch"`.

    Raises:
        SavedQueryError: a dependency names nothing that is known.
        BadRequestError: parameters that do not fit, or SQL that the guard refuses.
        LambdaPipelineError: as `Serving.select`.
    """
    values = bind(query, parameters or {})
    return serving.select(statement_of(query, _definitions(serving, query)), values, options=options, **changed)


def _definitions(serving: Serving, query: SavedQuery) -> dict[str, Mapping[str, Any]]:
    """Definitions of the views by name; those that only a generation knows where the query needs one of them."""
    definitions = {name: view.definition for name, view in serving.views.items()}
    if all(view_of(dependency, definitions) for dependency in query.dependencies):
        return definitions
    return {name: view.definition for name, view in serving.known_views().items()}
