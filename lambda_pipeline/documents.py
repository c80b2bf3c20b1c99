"""Documents that people write, as YAML or JSON text, read without guesses.

Only `true`, `false`, `null` and plain numbers are not text; a decimal keeps its digits; an unquoted day stays text. A
key that stands twice, an alias or a tag is refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from lambda_pipeline.errors import BadRequestError

MAX_BYTES = 1_000_000


def read_document(path: Path) -> Any:
    """The content of a YAML or JSON file as mappings, lists, texts, numbers and booleans.

    Raises:
        BadRequestError: the file cannot be read, or is neither.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadRequestError(f"{path.name} is larger than {MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadRequestError(f"{path.name[:80]!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRequestError(f"{path.name} is not UTF-8") from None
    except ValueError:
        raise BadRequestError(f"{str(path)[:80]!r} cannot be the name of a file") from None
    return parse_text(text, name=path.name, as_json=path.suffix == ".json")


def parse_text(text: str, *, name: str, as_json: bool = False) -> Any:
    """A YAML or JSON text as mappings, lists, texts, numbers and booleans.

    Args:
        text: the document.
        name: what errors call it.
        as_json: whether it is JSON.

    Raises:
        BadRequestError: it cannot be read.
    """
    try:
        if as_json:
            return json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_object)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with fewer types)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadRequestError(f"{name}{place}: {error.problem or 'cannot be read'}") from None
    except yaml.YAMLError:
        raise BadRequestError(f"{name}: not YAML") from None
    except json.JSONDecodeError as error:
        raise BadRequestError(f"{name}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, InvalidOperation, RecursionError) as error:
        reason = str(error) if isinstance(error, _DocumentError) else "a value that cannot be read"
        raise BadRequestError(f"{name}: {reason}") from None


def json_path(parts: Sequence[int | str]) -> str:
    """Keys and positions as `$.rules[1].members[0]`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


class _DocumentError(ValueError):
    """Something that a document may not contain; its text holds no value."""


def _refuse(_: str) -> Any:
    raise _DocumentError("NaN and Infinity are not numbers here")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DocumentError("a key stands twice in one object")
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """YAML without aliases, tags, and values that look like numbers, dates or switches by accident."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (as the base has it)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not read here", problem_mark=mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem="tags are not read here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = True) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return {str(key.value): self.construct_object(value, deep=deep) for key, value in node.value}


def _number(_: _Loader, node: Any) -> int | Decimal:
    text = str(node.value)
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else Decimal(text)


def _mapping(loader: _Loader, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?:[eE][-+]?[0-9]{1,3})?\Z"),
    list("-0123456789"),
)  # fmt: skip
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:bool", lambda _, node: str(node.value) == "true")
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def json_text(content: Any) -> str:
    """The JSON of a document that was read here; a decimal keeps its digits.

    Args:
        content: mappings, lists, texts, numbers, booleans and None.
    """
    if isinstance(content, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{json_text(value)}" for key, value in content.items()) + "}"
    if isinstance(content, list | tuple):
        return "[" + ",".join(map(json_text, content)) + "]"
    return str(content) if isinstance(content, Decimal) else json.dumps(content)
