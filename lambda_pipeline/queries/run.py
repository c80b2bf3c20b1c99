"""Asking a saved query: the one way of Python, the command line and the jobs."""

from collections.abc import Mapping
from typing import Any, Unpack

from lambda_pipeline.errors import SavedQueryError
from lambda_pipeline.queries.dependencies import statement_of
from lambda_pipeline.queries.folder import read_queries
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
    return serving.select(_statement(serving, query), values, options=options, **changed)


def _statement(serving: Serving, query: SavedQuery) -> str:
    """The statement over the views as files define them; where that does not do, over those of the generation too."""
    if not query.dependencies:
        return query.sql
    definitions = {name: view.definition for name, view in serving.views.items()}
    queries = read_queries(serving.settings.queries).queries
    try:
        return statement_of(query, definitions, queries)
    except SavedQueryError:
        known = {name: view.definition for name, view in serving.known_views().items()}
        if known.keys() == definitions.keys():
            raise
    return statement_of(query, known, queries)
