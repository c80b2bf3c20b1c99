"""Values of declared parameters: checked against their FHIR type before any server is asked, and then bound.

Whole numbers, decimals and booleans are bound as such. Dates and times are bound as text: FHIR's may be a year alone,
and views keep them as text; where the statement takes one for a date of PostgreSQL, `serving.parameters` checks it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from lambda_pipeline.errors import BadRequestError, suggest
from lambda_pipeline.queries.saved_query import Parameter, SavedQuery
from lambda_pipeline.serving.value_text import is_missing, is_storable
from lambda_pipeline.views.fhir_types import PRIMITIVE_TYPES
from lambda_pipeline.views.primitives import primitive_problem

_RANGES: Mapping[str, tuple[int, int]] = {
    "integer": (-(2**31), 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
    "integer64": (-(2**63), 2**63 - 1),
}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,299})(?:\.[0-9]{1,300})?(?:[eE][-+]?[0-9]{1,2})?")

_HOLDERS: Mapping[type, tuple[str, ...]] = {
    datetime: ("dateTime", "instant"),
    date: ("date", "dateTime"),
    time: ("time",),
}
"""The FHIR types that a value of Python may be given for."""

PARAMETER_TYPES = PRIMITIVE_TYPES - {"base64Binary", "xhtml", "markdown"}
"""The types that a parameter may have."""


def bind(query: SavedQuery, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values to bind for a query: one for each declared parameter, and no others.

    Args:
        query: one that declares nothing takes any values; the serving layer checks them against its statement.
        given: by name. Text is read as the parameter's type.

    Raises:
        BadRequestError: a parameter is unknown or has no value, or a value is not of its type; values are not repeated.
    """
    if not query.declared:
        return dict(given)
    declared = {parameter.name: parameter for parameter in query.parameters}
    for name in given:
        if name not in declared:
            raise BadRequestError(
                f"{query.name} has no parameter :{name[:80]}", hint=_hint(suggest(name, declared), query.parameters)
            )
    for name, parameter in declared.items():
        if name not in given:
            raise BadRequestError(f"{query.name}: no value for {parameter}", hint=_hint("", query.parameters))
    return {name: read_value(parameter, given[name]) for name, parameter in declared.items()}


def read_value(parameter: Parameter, value: object) -> Any:
    """One value as it is bound.

    Raises:
        BadRequestError: it is not of the parameter's type.
    """
    if isinstance(value, list | tuple | dict):
        raise _wrong(parameter, "takes one value, not several")
    if value is None or is_missing(value):
        raise _wrong(parameter, "needs a value")
    match parameter.type:
        case "boolean":
            return _boolean(parameter, value)
        case "decimal":
            return _decimal(parameter, value)
        case whole if whole in _RANGES:
            return _whole(parameter, value)
        case _:
            return _text(parameter, value)


def _boolean(parameter: Parameter, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise _wrong(parameter, "the value is not a boolean", "true or false")


def _whole(parameter: Parameter, value: object) -> int:
    lowest, highest = _RANGES[parameter.type]
    read = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
    if isinstance(read, Decimal) and read.is_finite() and read == read.to_integral_value():
        read = int(read)
    if isinstance(read, bool) or not isinstance(read, int) or not lowest <= read <= highest:
        raise _wrong(
            parameter, f"the value is not of type {parameter.type}", f"a whole number from {lowest} to {highest}"
        )
    return read


def _decimal(parameter: Parameter, value: object) -> Decimal:
    # A float's shortest text is what somebody wrote: its binary value has digits that nobody did.
    text = repr(value) if isinstance(value, float) else str(value)
    number = isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)
    if not number or not _DECIMAL.fullmatch(text):
        raise _wrong(parameter, "the value is not a decimal", "such as 6.5")
    return Decimal(text)


def _text(parameter: Parameter, value: object) -> str:
    if isinstance(value, date | time) and parameter.type in _HOLDERS[_kind(value)]:
        value = value.isoformat()
    if not isinstance(value, str):
        raise _wrong(parameter, "the value is not text", "put it into quotes")
    if not is_storable(value):
        raise _wrong(parameter, "a character that PostgreSQL's text cannot hold")
    if problem := primitive_problem(value, parameter.type):
        raise _wrong(parameter, problem)
    if not value:
        raise _wrong(parameter, "the value is empty; FHIR has no empty texts")
    return value


def _kind(value: date | time) -> type:
    # A datetime is a date too.
    return datetime if isinstance(value, datetime) else date if isinstance(value, date) else time


def _wrong(parameter: Parameter, reason: str, hint: str = "") -> BadRequestError:
    return BadRequestError(f"parameter {parameter}: {reason}", hint=hint)


def _hint(close: str, parameters: Sequence[Parameter]) -> str:
    meant = f"did you mean :{close}? " if close else ""
    listed = ", ".join(map(str, parameters))
    return meant + (f"its parameters: {listed}" if listed else "it has no parameters")
