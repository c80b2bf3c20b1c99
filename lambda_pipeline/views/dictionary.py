"""The data dictionary: what each view is and what its columns mean, as Markdown and as one HTML page.

Made from the definitions and their files of tests alone, so that equal files give equal texts. The page needs nothing
from elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lambda_pipeline.views.folder import ViewFolder
from lambda_pipeline.views.view import View

TITLE = "Data dictionary"
HEADERS = ("column", "type", "FHIR type", "FHIR path", "index", "description")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One view as both forms of the dictionary show it.

    Attributes:
        view: the view.
        about: its facts, each a name and a text.
        rows: of its columns, as in `HEADERS`.
        tests: in words.
    """

    view: View
    about: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    tests: tuple[str, ...]


def to_markdown(folder: ViewFolder) -> str:
    """The dictionary as Markdown."""
    lines = [f"# {TITLE}", ""]
    lines += [f"- [{view.name}](#{view.name.lower()}): {_plain(view.description)}" for view in folder.views]
    for entry in map(_entry, folder.views):
        lines += ["", f"## {entry.view.name}", "", _plain(entry.view.description), ""]
        lines += [f"- {name}: {text}" for name, text in entry.about]
        lines += ["", _row(HEADERS), _row(["---"] * len(HEADERS)), *map(_row, map(_cells, entry.rows))]
        if entry.tests:
            lines += ["", "Tests:", "", *(f"- {_plain(test)}" for test in entry.tests)]
    if folder.broken:
        lines += ["", "## Files that cannot be used", "", *(f"- {_plain(str(file))}" for file in folder.broken)]
    return "\n".join(lines) + "\n"


def to_html(folder: ViewFolder) -> str:
    """The dictionary as one HTML page."""
    links = "".join(f'<li><a href="#{view.name}">{view.name}</a></li>' for view in folder.views)
    sections = "\n".join(_section(_entry(view)) for view in folder.views)
    broken = "".join(f"<li>{escape(str(file))}</li>" for file in folder.broken)
    unusable = f"<section><h2>Files that cannot be used</h2><ul>{broken}</ul></section>" if broken else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{TITLE}</h1>
<nav><ul>{links}</ul></nav>
{sections}
{unusable}
</body>
</html>
"""


def _entry(view: View) -> _Entry:
    paths = _paths(view.definition.get("select") or [], ())
    rows = tuple(
        (
            column.name,
            column.type,
            f"{column.fhir_type or ''}{'[]' if column.collection else ''}",
            paths.get(column.name, column.path),
            "yes" if column.indexed else "",
            _one_line(column.description),
        )
        for column in view.columns
    )
    tests = [case.text for case in view.tests.cases()] if view.tests else []
    if view.tests and view.tests.contract:
        kept = ", ".join(f"{name} {type_}" for name, type_ in view.tests.contract.columns.items())
        tests.append(f"contract{'' if view.tests.contract.enforced else ' (not enforced)'}: {kept}")
    about = [
        ("resource type", view.resource),
        ("FHIR", ", ".join(map(str, view.fhir_versions))),
        ("file", view.file),
        ("only resources with", "; ".join(str(each["path"]) for each in view.definition.get("where") or [])),
    ]
    return _Entry(view, tuple((name, text) for name, text in about if text), rows, tuple(tests))


def _paths(selects: Sequence[Mapping[str, Any]], above: tuple[str, ...]) -> dict[str, str]:
    """The full path of each column: what the selects around it iterate over, then its own path."""
    found: dict[str, list[str]] = {}
    for select in selects:
        inside = (*above, *_iterated(select))
        for column in select.get("column") or []:
            found.setdefault(column["name"], []).append(" > ".join((*inside, str(column["path"]))))
        for part in ("select", "unionAll"):
            for name, path in _paths(select.get(part) or [], inside).items():
                found.setdefault(name, []).append(path)
    return {name: " or ".join(dict.fromkeys(each)) for name, each in found.items()}


def _iterated(select: Mapping[str, Any]) -> Iterator[str]:
    for key in ("forEach", "forEachOrNull"):
        if key in select:
            yield f"each {select[key]}"
    if select.get("repeat"):
        yield f"repeatedly {', '.join(map(str, select['repeat']))}"


def _section(entry: _Entry) -> str:
    about = "".join(f"<li>{escape(name)}: {escape(text)}</li>" for name, text in entry.about)
    head = "".join(f"<th>{escape(header)}</th>" for header in HEADERS)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in entry.rows)
    tests = "".join(f"<li>{escape(test)}</li>" for test in entry.tests)
    return f"""<section id="{entry.view.name}">
<h2>{entry.view.name}</h2>
<p>{escape(_one_line(entry.view.description))}</p>
<ul>{about}</ul>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
{f"<h3>Tests</h3><ul>{tests}</ul>" if tests else ""}
</section>"""


def _cells(row: Sequence[str]) -> list[str]:
    """Cells of Markdown: names, types and paths as code."""
    name, type_, fhir_type, path, index, description = row
    return [_code(name), type_, fhir_type, _code(path), index, _plain(description)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    text = _one_line(text).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    shown = escape(_one_line(text), quote=False)
    for sign in ("\\", "|", "*", "_", "`", "["):
        shown = shown.replace(sign, f"\\{sign}")
    return shown


def _one_line(text: str) -> str:
    return " ".join(text.split())


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1d2433 }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #d8dce5; padding: .3rem .6rem; text-align: left; vertical-align: top }
td:nth-child(1), td:nth-child(4) { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
nav ul { columns: 3 }
"""
