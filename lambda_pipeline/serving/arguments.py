"""Whether the arguments of a question are of the types that they must be: scripts are not always type-checked.

What names and values may be is decided where they are used: in `service`, `filters`, `parameters` and `options`.
"""

from collections.abc import Mapping

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.filters import Filter
from lambda_pipeline.serving.options import ReadOptions


def check_types_of_query(view: object, where: object, columns: object, options: object) -> None:
    """Check the arguments of a question over one view.

    Raises:
        BadRequestError: one of them is of another type.
    """
    _require(isinstance(view, str), "view is not text")
    _require(isinstance(where, list | tuple), "where is not a list of filters")
    _require(all(isinstance(each, Filter) for each in _items(where)), "where holds something else than filters")
    _require(isinstance(columns, list | tuple), "columns is not a list of names")
    _require(all(isinstance(each, str) for each in _items(columns)), "columns holds something else than names")
    _require(isinstance(options, ReadOptions), "options is not a ReadOptions")


def check_types_of_select(statement: object, parameters: object, options: object) -> None:
    """Check the arguments of a SELECT.

    Raises:
        BadRequestError: one of them is of another type.
    """
    _require(isinstance(statement, str), "the statement is not text")
    _require(parameters is None or isinstance(parameters, Mapping), "parameters is not a mapping of names to values")
    names = parameters if isinstance(parameters, Mapping) else ()
    _require(all(isinstance(name, str) for name in names), "parameters has a name that is not text")
    _require(isinstance(options, ReadOptions), "options is not a ReadOptions")


def _items(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _require(holds: bool, reason: str) -> None:  # noqa: FBT001
    if not holds:
        raise BadRequestError(reason)
