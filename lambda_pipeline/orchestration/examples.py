"""An example config for each job that analysts launch, in the words of this deployment's views."""

from collections.abc import Sequence

from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views import View


def describe_with_example(text: str, example: str) -> str:
    """A job's description, with an example that can be pasted into the launchpad."""
    return f"{text}\n\nFor example:\n\n```yaml\n{example}```\n"


def view_query_example(names: Sequence[str], views: Sequence[View]) -> str:
    """Config of `view_query`."""
    if not views:
        return f"view: {names[0]}\nlimit: 100\nformat: csv\n"
    view, column = _choose(views)
    return (
        f"view: {view.name}\n"
        f"columns: [{', '.join(each.name for each in view.columns[:3])}]\n"
        "where:\n"
        f"  - {{column: {column}, operator: is-null, value: false}}\n"
        "limit: 100\n"
        "format: csv\n"
        "name: my_result\n"
    )


def view_counts_example(names: Sequence[str], views: Sequence[View]) -> str:
    """Config of `view_counts`."""
    if not views:
        return f"view: {names[0]}\nby: [id]\n"
    view, column = _choose(views)
    return f"view: {view.name}\nby: [{column}]\nname: my_counts\n"


def sql_query_example(names: Sequence[str], views: Sequence[View]) -> str:
    """Config of `sql_query`."""
    if not views:
        return _SQL_OF_NAME.format(view=names[0])
    view, column = _choose(views)
    return _SQL.format(view=view.name, column=column)


_SQL_OF_NAME = """\
sql: SELECT count(*) AS n FROM {view}
compare: true
"""
_SQL = """\
sql: |
  SELECT {column}, count(*) AS n
    FROM {view}
   WHERE {column} = ANY (:wanted)
   GROUP BY 1
parameters: {{wanted: ["a", "b"]}}
compare: true
"""
PARITY_EXAMPLE = "mode: both\nsample: 500\n"
"""Config of `parity_check`."""


def _choose(views: Sequence[View]) -> tuple[View, str]:
    """A view, and a column of it: one of codes where there is one, else one of text."""
    view = views[0]
    ranked = [
        (column.fhir_type != "code", type_family(column.type) is not TypeFamily.TEXT, number)
        for number, column in enumerate(view.columns)
    ]
    return view, view.columns[min(ranked)[2]].name
