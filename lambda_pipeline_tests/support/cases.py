"""Cases of views: reading them, and comparing rows by the rules of the official suite."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
RunView = Callable[[Mapping[str, Any], Sequence[Any]], list[Row]]
CASES = Path(__file__).parents[1] / "views" / "cases"


def load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def dump_json(value: Any) -> str:
    """JSON with decimals as they are written; json.dumps knows no Decimal."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{dump_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dump_json, value)) + "]"
    return json.dumps(value)


def comparable(value: Any) -> Any:
    """A value such that equal ones are equal in JSON: 1 is 1.0, and true is no number."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float | Decimal):
        return ("number", Decimal(str(value)).normalize())
    if isinstance(value, list):
        return ("list", tuple(comparable(item) for item in value))
    if isinstance(value, Mapping):
        return ("object", tuple(sorted((key, comparable(item)) for key, item in value.items())))
    return ("other", value)


def row_multiset(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(repr(comparable(row)) for row in rows)
