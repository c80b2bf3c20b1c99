"""A view with only some of its columns: what finds out which column a resource fails on.

The rows of such a view are of no use: without a column the iteration around it may be gone too. It fails for a resource
where its `where` or one of its columns does.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from lambda_pipeline.errors import ViewDefinitionError
from lambda_pipeline.views.compiler import compile_view
from lambda_pipeline.views.view import View

_NOTHING = {"column": [{"name": "nothing", "path": "''"}]}


@lru_cache(maxsize=1_000)
def first_columns(view: View, count: int) -> View | None:
    """The view with its first `count` columns, and its `where`.

    Args:
        view: compiled from its definition.
        count: number of columns; with 0 a column that cannot fail.

    Returns:
        None where its definition does not compile any more, such as one that an older version published.
    """
    names = {column.name for column in view.columns[:count]}
    kept = [part for select in view.definition.get("select", ()) if (part := _keep(select, names))]
    try:
        return compile_view({**view.definition, "select": kept or [_NOTHING]})
    except ViewDefinitionError:
        return None


def _keep(select: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The select with the columns of these names; empty when there are none."""
    parts: dict[str, Any] = {
        "column": [column for column in select.get("column", ()) if column["name"] in names],
        "select": [part for each in select.get("select", ()) if (part := _keep(each, names))],
        "unionAll": [part for each in select.get("unionAll", ()) if (part := _keep(each, names))],
    }
    kept = {name: part for name, part in parts.items() if part}
    return {**{name: value for name, value in select.items() if name not in parts}, **kept} if kept else {}
