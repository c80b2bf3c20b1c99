"""A folder of view definitions: the views that compile, and what is wrong with the other files.

A file that does not compile says nothing about the others. What becomes of its view is decided by those who read the
folder: a refresh keeps what is published of it. How one definition is compiled stands in `compiler.py`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambda_pipeline.errors import ConfigurationError, Problem, ViewDefinitionError
from lambda_pipeline.views.compiler import read_definition
from lambda_pipeline.views.definition_reader import NAME
from lambda_pipeline.views.tests_reader import tests_file, with_tests
from lambda_pipeline.views.view import View


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file whose definition cannot be used.

    Attributes:
        file: its name.
        view: the name of its view: that of its JSON, or else the file's name without suffix.
        named: whether the JSON says the name; if not, the view may have another one.
        problems: everything that is wrong with it; at least one.
    """

    file: str
    view: str
    named: bool
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        more = f" (and {len(self.problems) - 1} more problems)" if len(self.problems) > 1 else ""
        return f"{self.problems[0]}{more}"


@dataclass(frozen=True, slots=True)
class ViewFolder:
    """What a folder of definitions holds.

    Attributes:
        views: those that compile, by name.
        broken: the other files, by file name.
    """

    views: tuple[View, ...]
    broken: tuple[BrokenFile, ...] = ()


def read_views(folder: Path) -> ViewFolder:
    """Compile every `*.json` of a folder. Of two files with one view name neither is used.

    Raises:
        ConfigurationError: there is no such folder; taken for an empty one it would retire every view.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder", hint="set LAMBDA_PIPELINE_VIEW_DEFINITIONS")
    compiled: dict[str, View] = {}
    problems: dict[str, list[Problem]] = {}
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        content, unreadable = _read(path)
        view, found = (None, [unreadable]) if unreadable else read_definition(content, path.name)
        if view is not None:
            view, of_tests = with_tests(view, tests_file(path))
            found = [*found, *of_tests]
        names[path.name] = view.name if view else _find_name(content)
        problems[path.name] = found
        if view is not None:
            compiled[path.name] = view
    for file, others in _files_of_same_name(names).items():
        problems[file].append(Problem(file, "$.name", f"{', '.join(others)} has a view of this name too"))
    return ViewFolder(
        views=tuple(sorted((compiled[file] for file, found in problems.items() if not found), key=lambda v: v.name)),
        broken=tuple(_broken(file, names[file], found) for file, found in problems.items() if found),
    )


def load_views(folder: Path) -> tuple[View, ...]:
    """The views of a folder in which every file must compile, by name.

    Raises:
        ConfigurationError: there is no such folder.
        ViewDefinitionError: lists everything that is wrong with any of the files.
    """
    found = read_views(folder)
    if found.broken:
        raise ViewDefinitionError([problem for file in found.broken for problem in file.problems])
    return found.views


def problems_by_view(broken: Sequence[BrokenFile]) -> dict[str, str]:
    """What is wrong with the files of each view, in words."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in broken:
        found[file.view].append(str(file))
    return {view: "; ".join(texts) for view, texts in found.items()}


def _read(path: Path) -> tuple[bytes, Problem | None]:
    try:
        return path.read_bytes(), None
    except OSError as error:
        return b"", Problem(path.name, "$", f"cannot be read: {error.strerror}")


def _find_name(content: bytes) -> str:
    """The view name in a definition that does not compile; empty where there is none that a view can have."""
    try:
        definition = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ""
    name = definition.get("name") if isinstance(definition, dict) else None
    return name if isinstance(name, str) and NAME.fullmatch(name) else ""


def _files_of_same_name(names: Mapping[str, str]) -> dict[str, list[str]]:
    """For each file the others whose view has the same name, upper and lower case alike."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for file, name in names.items():
        if name:
            by_name[name.lower()].append(file)
    return {file: [other for other in same if other != file] for same in by_name.values() for file in same if same[1:]}


def _broken(file: str, name: str, problems: Sequence[Problem]) -> BrokenFile:
    guessed = re.sub(r"[^A-Za-z0-9_]", "_", file.removesuffix(".json"))
    return BrokenFile(file, name or guessed, bool(name), tuple(problems))
