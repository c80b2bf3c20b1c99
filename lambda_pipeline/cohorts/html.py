"""An answer as HTML, for notebooks: the number, the attrition as bars, the breakdown, what was left out."""

from collections.abc import Iterable, Sequence
from html import escape

from lambda_pipeline.cohorts.answer import CohortAnswer, Count, shown


def to_html(answer: CohortAnswer) -> str:
    """The counts of an answer as a fragment of HTML; never ids."""
    as_of = answer.valid_as_of.isoformat(timespec="seconds")
    parts = [
        f"<h4>{escape(answer.name)}: {escape(shown(answer.persons))} persons</h4>",
        f"<p>valid as of {as_of}, from {escape(' and '.join(answer.sources))}</p>",
        _attrition(answer),
        _table(
            ("sex", "age", "persons"),
            [(cell.sex or "missing", cell.age_band or "", shown(cell.persons)) for cell in answer.breakdown],
        ),
        _list(map(str, answer.left_out)),
        _list(answer.notes),
    ]
    if answer.quarantined:
        parts.append(f"<p>{len(answer.quarantined):,} resources are missing because they cannot be read</p>")
    return "\n".join(part for part in parts if part)


def _attrition(answer: CohortAnswer) -> str:
    largest = max((step.remaining for step in answer.attrition if isinstance(step.remaining, int)), default=0)
    rows = "".join(
        f"<tr><td>{escape(step.name)}</td><td>{_bar(step.remaining, largest)}</td>{_numbers(step.remaining)}"
        f"{_numbers(step.lost)}{_numbers(step.excluded_alone)}</tr>"
        for step in answer.attrition
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


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
