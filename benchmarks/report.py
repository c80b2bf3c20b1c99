"""The result of a benchmark, as a table in plain text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one benchmark.

    Attributes:
        name: name of the benchmark.
        question: what was measured, in one sentence.
        columns: title of each column; the unit follows a comma: `ms`, `/s`, `kB`, `%`, or `x` for a ratio.
        rows: one value per column; None if it was not measured.
        remarks: notes for readers of the table.
    """

    name: str
    question: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """The result as a table in plain text."""
        units = [title.partition(", ")[2] for title in self.columns]
        cells = [[_format_value(value, unit) for value, unit in zip(row, units, strict=True)] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        left = [all(isinstance(row[index], str) for row in self.rows) for index in range(len(widths))]
        lines = [self.columns, tuple("-" * width for width in widths), *cells]
        table = [
            "  ".join(
                cell.ljust(width) if to_left else cell.rjust(width)
                for cell, width, to_left in zip(line, widths, left, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([f"{self.name}: {self.question}", "", *table, "", *self.remarks]).rstrip() + "\n"

    def json(self) -> Mapping[str, Any]:
        """The result as JSON; numbers are not rounded."""
        return {
            "name": self.name,
            "question": self.question,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "remarks": list(self.remarks),
        }


def _format_value(value: Value, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}" if unit == "x" or abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value
