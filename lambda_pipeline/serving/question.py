"""A question as JSON: what `Answer.question` holds, and the manifest beside a file of rows keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lambda_pipeline.serving.answer import Question
from lambda_pipeline.serving.cells import to_text
from lambda_pipeline.serving.filters import Filter
from lambda_pipeline.serving.options import ReadOptions


def question_of_view(view: str, columns: Sequence[str], where: Sequence[Filter], options: ReadOptions) -> Question:
    """The question for rows of one view."""
    return Question({"view": view, "columns": list(columns), "where": _filters(where), **_plain(asdict(options))})


def question_of_changes(view: str, columns: Sequence[str], where: Sequence[Filter], options: ReadOptions) -> Question:
    """The question for the rows of one view that changed."""
    return Question({"changes": view, "columns": list(columns), "where": _filters(where), **_plain(asdict(options))})


def question_of_sql(statement: str, parameters: Mapping[str, Any], options: ReadOptions) -> Question:
    """The question of one SELECT."""
    return Question({"sql": statement, "parameters": _plain(parameters), **_plain(asdict(options))})


def _filters(where: Sequence[Filter]) -> list[dict[str, Any]]:
    return [{"column": each.column, "operator": str(each.operator), "value": _plain(each.value)} for each in where]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return to_text(value)
