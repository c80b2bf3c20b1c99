"""The preflight: whether view definitions and servers are what the pipeline needs, before it needs them.

What a finding is, and the check of the view definitions. The servers are checked in `preflight_hapi.py` and
`preflight_redis.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lambda_pipeline.settings import Settings
from lambda_pipeline.views import read_views


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight: what was checked, its state, and what to do about it."""

    level: Level
    subject: str
    text: str
    hint: str = ""


def check_views(settings: Settings) -> Iterator[Finding]:
    """Check that every view definition compiles."""
    folder = settings.view_definitions
    if not folder.is_dir():
        yield Finding(Level.FAIL, "views", f"{folder} is not a folder", "set LAMBDA_PIPELINE_VIEW_DEFINITIONS")
        return
    found = read_views(folder)
    for problem in (problem for file in found.broken for problem in file.problems):
        yield Finding(Level.FAIL, "views", f"{problem.file}: {problem.path}: {problem.reason}", problem.hint)
    if found.views:
        yield Finding(Level.OK, "views", f"{len(found.views)} definitions in {folder}")
    elif not found.broken:
        yield Finding(Level.WARN, "views", f"no *.json in {folder}", "add a ViewDefinition")
