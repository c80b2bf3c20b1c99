"""Rows as a plain-text table for terminals.

Widths are those of `rich`. Its tables are not used: they send the text of cells as it is, and pad lines to their end.
"""

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len, set_cell_size

NULL = "∅"
"""How a missing value is shown, so that it cannot be taken for an empty text."""

ELLIPSIS = "…"


def render(
    headers: Sequence[str], rows: Iterable[Sequence[str | None]], *, right: Collection[int] = (), cell_width: int = 40
) -> str:
    """A table with a header, a rule, and one line per row; no line has blanks at its end.

    Control characters and those that turn the direction of text are shown escaped: data must not be able to
    steer a terminal. Wide characters count as two columns.

    Args:
        headers: names of the columns; never cut.
        rows: cells as text; None is shown as `NULL`.
        right: indexes of columns that are set flush right, such as numbers.
        cell_width: cells wider than this are cut and end in `…`.

    Returns:
        Lines joined by newlines, without one at the end; an empty text when there are no columns.
    """
    titles = [_visible(header) for header in headers]
    cells = [[NULL if cell is None else _cut(_visible(cell), cell_width) for cell in row] for row in rows]
    widths = [max([cell_len(title), *(cell_len(row[index]) for row in cells)]) for index, title in enumerate(titles)]
    lines = [_line(titles, widths, right), "  ".join("─" * width for width in widths)]
    lines += [_line(row, widths, right) for row in cells]
    return "\n".join(lines) if titles else ""


def render_values(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> str:
    """A table of values: numbers are set flush right, integers with thousands separators and floats with two decimals.

    Args:
        headers: as of `render`.
        rows: cells as values; None is shown as `NULL`.
        right: indexes of further columns that are set flush right.
    """
    cells = list(rows)
    numbers = {index for row in cells for index, value in enumerate(row) if isinstance(value, int | float)}
    texts = [[_format_value(value) for value in row] for row in cells]
    return render(headers, texts, right={*right, *numbers}, cell_width=63)


def _format_value(value: object) -> str | None:
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return None if value is None else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    padded = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        blanks = " " * (width - cell_len(cell))
        padded.append(blanks + cell if index in right else cell + blanks)
    return "  ".join(padded).rstrip()


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + ELLIPSIS
