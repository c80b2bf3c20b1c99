"""Charts as SVG that stands in a page or alone: bars with their numbers, and the history of refreshes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from lambda_pipeline.operations.report.collect import PastRefresh

INK, SOFT, BAR, BAD = "#1d2433", "#6b7489", "#4c78a8", "#c8553d"
WIDTH, LABEL, LINE = 720, 190, 24
LABEL_CHARACTERS = 25
PANEL, PLOT = 120, 78
"""Heights in pixels: of one panel of the history, and of the columns in it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it is of, how long it is, and the number as text."""

    label: str
    value: float
    text: str


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars, one line each, longest scale of the largest value."""
    largest = max((bar.value for bar in bars), default=0) or 1
    room = WIDTH - LABEL - 150
    parts = []
    for index, bar in enumerate(bars):
        top = index * LINE
        parts += [
            _text(LABEL - 8, top + 16, _cut(bar.label), anchor="end"),
            _rect(LABEL, top + 4, room * bar.value / largest, LINE - 8, BAR, f"{bar.label}: {bar.text}"),
            _text(LABEL + room * bar.value / largest + 6, top + 16, bar.text, colour=SOFT),
        ]
    return _svg(title, max(LINE * len(bars), LINE), parts)


def history_chart(refreshes: Sequence[PastRefresh]) -> str:
    """Duration, rows and changes of past refreshes, one column each; a refresh that left a view behind is red."""
    panels: list[tuple[str, Callable[[PastRefresh], float], Callable[[PastRefresh], str]]] = [
        ("seconds", lambda each: each.seconds, lambda each: f"{each.seconds:,.1f} s"),
        ("rows", lambda each: each.rows, lambda each: f"{each.rows:,} rows"),
        ("changed resources", lambda each: each.changes, lambda each: f"{each.changes:,} changes"),
    ]
    parts = [
        part for index, panel in enumerate(panels) for part in _panel(index * PANEL, panel[0], refreshes, *panel[1:])
    ]
    return _svg("Refreshes: seconds, rows and changed resources", PANEL * len(panels), parts)


def _panel(
    top: int,
    title: str,
    refreshes: Sequence[PastRefresh],
    value: Callable[[PastRefresh], float],
    text: Callable[[PastRefresh], str],
) -> list[str]:
    largest = max(map(value, refreshes), default=0) or 1
    step = WIDTH / max(len(refreshes), 12)
    newest = f", the newest {text(refreshes[-1])}" if refreshes else ""
    parts = [_text(0, top + 14, f"{title}{newest}")]
    for index, each in enumerate(refreshes):
        height = PLOT * value(each) / largest
        told = f"generation {each.number} ({each.build_kind}), {each.published_at:%Y-%m-%d %H:%M} UTC: {text(each)}"
        colour = BAD if each.failures else BAR
        parts.append(_rect(index * step, top + 22 + PLOT - height, step * 0.8, height, colour, told))
    base = top + 22 + PLOT
    parts.append(f'<line x1="0" y1="{base}" x2="{WIDTH}" y2="{base}" stroke="{SOFT}" stroke-width="1"/>')
    return parts


def _cut(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else f"{label[: LABEL_CHARACTERS - 1]}…"


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(title)}</title>\n{body}\n</svg>"
    )


def _rect(left: float, top: float, width: float, height: float, colour: str, told: str) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{colour}"><title>{escape(told)}</title></rect>'


def _text(left: float, top: float, text: str, *, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
