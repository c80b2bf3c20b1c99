"""CSV (RFC 4180) and JSON lines; `export` says how each type is written.

The standard library's `csv` cannot write a missing value and an empty text differently before Python 3.12, and that
difference is part of the format; so the fields are quoted here.
"""

import re
from collections.abc import Iterator

from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.serving.cells import cells_of, to_json

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$|^\\\.$')


def csv_lines(answer: Answer) -> Iterator[str]:
    """A header and one line for each row, without line ends."""
    yield ",".join(_quote_field(column.name) for column in answer.columns)
    for row in cells_of(answer):
        yield ",".join(map(_quote_field, row))


def json_lines(answer: Answer) -> Iterator[str]:
    """One JSON object for each row, without line ends."""
    names = [to_json(column.name) for column in answer.columns]
    for row in answer.rows if answer.columns else ():
        yield "{" + ", ".join(f"{name}: {to_json(value)}" for name, value in zip(names, row, strict=True)) + "}"


def _quote_field(text: str | None) -> str:
    if text is None:
        return ""
    if not text or _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
