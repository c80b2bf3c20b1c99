"""An answer as HTML, for notebooks: the number, the attrition as bars, the breakdown, what was left out."""

from collections.abc import Iterable, Sequence
from html import escape

from lambda_pipeline.cohorts.counts import Cell, Count, Step, shown


def to_html(title: str, subtitle: str, steps: Sequence[Step], cells: Sequence[Cell], lines: Sequence[str]) -> str:
    """The counts of an answer as a fragment of HTML.

    Args:
        title: with the number of persons.
        subtitle: as of when it is valid.
        steps: the attrition.
        cells: the breakdown.
        lines: what else a reader must know.
    """
    rows = [(cell.sex or "missing", cell.age_band or "", shown(cell.persons)) for cell in cells]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    parts = [
        f"<h4>{escape(title)}</h4>",
        f"<p>{escape(subtitle)}</p>",
        _attrition(steps),
        _table(("sex", "age", "persons"), rows),
        f"<ul>{items}</ul>" if items else "",
    ]
    return "\n".join(part for part in parts if part)


def _attrition(steps: Sequence[Step]) -> str:
    largest = max((step.remaining for step in steps if isinstance(step.remaining, int)), default=0)
    rows = "".join(
        f"<tr><td>{escape(step.name)}</td><td>{_bar(step.remaining, largest)}</td>{_numbers(step.remaining)}"
        f"{_numbers(step.lost)}{_numbers(step.excluded_alone)}</tr>"
        for step in steps
    )
    head = "".join(f"<th>{title}</th>" for title in ("rule", "", "remaining", "lost", "excluded alone"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _bar(count: Count, largest: int) -> str:
    width = 200 * count // largest if isinstance(count, int) and largest else 0
    return f'<div style="background:#4c78a8;height:0.8em;width:{width}px"></div>'


def _numbers(count: Count | None) -> str:
    return f'<td style="text-align:right">{escape(shown(count))}</td>'


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""
