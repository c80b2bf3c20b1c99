"""JSON Patch (RFC 6902), as far as a FHIR server accepts it: add, remove, replace, move, copy, test."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from lambda_pipeline.errors import BadDataError


def patched(document: Mapping[str, Any], operations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A changed copy of the document.

    Raises:
        BadDataError: an unknown operation, a path that leads nowhere, or a test that fails.
    """
    result = copy.deepcopy(dict(document))
    for operation in operations:
        _apply(result, operation)
    return result


def _apply(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            _add(document, path, operation.get("value"))
        case "remove":
            _remove(document, path)
        case "replace":
            _find(document, path)
            parent = _find(document, path[:-1])
            parent[_index(path[-1], path) if isinstance(parent, list) else path[-1]] = operation.get("value")
        case "move":
            _add(document, path, _remove(document, _pointer(operation.get("from"))))
        case "copy":
            _add(document, path, copy.deepcopy(_find(document, _pointer(operation.get("from")))))
        case "test":
            if _find(document, path) != operation.get("value"):
                raise BadDataError(f"JSON patch: test of {operation.get('path')} fails")
        case other:
            raise BadDataError(f"JSON patch: unknown operation {other!r}")


def _pointer(text: object) -> list[str]:
    if not isinstance(text, str) or not text.startswith("/"):
        raise BadDataError("JSON patch: a path starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _find(document: Any, path: list[str]) -> Any:
    try:
        for part in path:
            document = document[int(part)] if isinstance(document, list) else document[part]
    except (KeyError, IndexError, TypeError, ValueError):
        raise _nowhere(path) from None
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        position = len(parent) if last == "-" else _index(last, path)
        if position > len(parent):
            raise _nowhere(path)
        parent.insert(position, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise _nowhere(path)


def _remove(document: Any, path: list[str]) -> Any:
    parent, last = _find(document, path[:-1]), path[-1]
    removed = _find(parent, [last])
    if isinstance(parent, list):
        parent.pop(_index(last, path))
    else:
        del parent[last]
    return removed


def _index(part: str, path: list[str]) -> int:
    if not part.isdecimal():
        raise _nowhere(path)
    return int(part)


def _nowhere(path: list[str]) -> BadDataError:
    return BadDataError(f"JSON patch: /{'/'.join(path)} is not there")
