"""Values of the parameters of a SELECT: which may be given, and which of them PostgreSQL would misread as a date.

PostgreSQL reads many spellings as a date, and guesses: `01/02/03` is a day of 2001. A parameter that it takes for a
date or time must be written as in ISO 8601.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.sql.guard import GuardedSelect
from lambda_pipeline.serving.value_text import CLOCK, DAY, ZONE, is_missing, is_storable

_SCALARS = (str, bool, int, float, Decimal, date, datetime, time, bytes)

_MOMENT = (re.compile(f"{DAY}(?:[T ]{CLOCK}{ZONE}?)?"), datetime.fromisoformat, "2026-01-31 or 2026-01-31T08:00:00Z")
_TEMPORAL: Mapping[str, tuple[re.Pattern[str], Any, str]] = {
    "date": (re.compile(DAY), date.fromisoformat, "2026-01-31"),
    "timestamp": _MOMENT,
    "timestamptz": _MOMENT,
    "time": (re.compile(CLOCK), time.fromisoformat, "08:30:00"),
}


def check_parameters(guarded: GuardedSelect, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a statement's parameters: one for each, and no others.

    Raises:
        BadRequestError: a value is missing, no parameter has its name, or PostgreSQL has no such value.
    """
    missing = [name for name in guarded.parameters if name not in given]
    unused = [name for name in given if name not in guarded.parameters]
    if missing:
        raise BadRequestError(f"no value for :{missing[0]}")
    if unused:
        raise BadRequestError(f"the statement has no parameter :{unused[0][:80]}")
    for name, value in given.items():
        for item in value if isinstance(value, list) else [value]:
            _check_value(name, item)
    return dict(given)


def check_temporal(name: str, value: object, type_name: str) -> None:
    """Check a value that PostgreSQL takes for a date or time.

    Args:
        name: of the parameter.
        value: only texts can be wrong.
        type_name: the type that PostgreSQL takes it for; other types are not checked.

    Raises:
        BadRequestError: it is not written as in ISO 8601, or is no day of the calendar.
    """
    form = _TEMPORAL.get(type_name)
    if form is None or not isinstance(value, str):
        return
    pattern, read, example = form
    try:
        if pattern.fullmatch(value) and read(value):
            return
    except ValueError:
        pass
    raise BadRequestError(f"parameter :{name}: the value is not a {type_name}", hint=f"write it like {example}")


def _check_value(name: str, value: object) -> None:
    if value is not None and not isinstance(value, _SCALARS):
        raise BadRequestError(f"parameter :{name}: neither text, number, boolean, date, nor a list of them")
    if is_missing(value):
        raise BadRequestError(f"parameter :{name}: a missing date or time", hint="None stands for NULL")
    if isinstance(value, str) and not is_storable(value):
        raise BadRequestError(f"parameter :{name}: a character that PostgreSQL's text cannot hold")
