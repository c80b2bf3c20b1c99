"""Which definitions a refresh makes: those of the files, and the published ones where a file cannot be used.

A view whose file is gone is retired. A view whose file is there but does not compile keeps its published definition: a
typing error must not take a view away from those who ask it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.views import BrokenFile, View, problems_by_view


@dataclass(frozen=True, slots=True)
class WantedView:
    """What a refresh shall make of one view.

    Attributes:
        name: of the view.
        definitions: the first that can be made is published: that of the file, then the published one. Empty for a
            file that does not compile and was never published.
        problem: what is wrong with its file; empty where the first definition is that of the file.
    """

    name: str
    definitions: tuple[View, ...]
    problem: str = ""


def wanted_views(
    last: Generation | None,
    views: Sequence[View],
    broken: Sequence[BrokenFile],
    left_out: Mapping[str, View] = MappingProxyType({}),
) -> list[WantedView]:
    """What to make, by name.

    Args:
        last: the published generation.
        views: of the files that compile.
        broken: the other files.
        left_out: definitions that were published until a refresh could not make their views.
    """
    published = {**left_out, **({name: known.view for name, known in last.views.items()} if last else {})}
    wanted = {}
    for view in views:
        before = published.get(view.name)
        older = (before,) if before and before.digest != view.digest else ()
        wanted[view.name] = WantedView(view.name, (view, *older))
    problems = problems_by_view(broken)
    for name, problem in (problems | _perhaps_theirs(published, broken)).items():
        if name not in wanted:
            before = published.get(name)
            wanted[name] = WantedView(name, (before,) if before else (), problem)
    return [wanted[name] for name in sorted(wanted)]


def _perhaps_theirs(published: dict[str, View], broken: Sequence[BrokenFile]) -> dict[str, str]:
    """Published views that a file may define whose name cannot be read: none of them may be taken for removed."""
    anonymous = [file for file in broken if not file.named and file.view not in published]
    if not anonymous:
        return {}
    files = "; ".join(map(str, anonymous))
    return dict.fromkeys(published, f"no other file defines it, and this one may: {files}")
