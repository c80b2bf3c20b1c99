"""Answers as files and streams: CSV, Parquet, JSON lines, and a table for terminals.

**CSV** is RFC 4180 in UTF-8 without a byte order mark, lines end in CR LF. A missing value is an empty field, an empty
text is `""`, so that the two differ; a missing value in a file of one column is an empty line, which some readers skip:
the manifest states the number of rows. Values are exact: nothing is put before a text that begins with `=`, `+`, `-` or
`@`. A spreadsheet may take such a text for a formula; import the column as text there.

**Parquet** has one type per column: numeric becomes decimal128 or decimal256 with the column's precision and scale, or
where it has none with the smallest that hold every value (all values then show one scale). Numbers of more than 76
digits, and NaN or Infinity, make the column text. JSON and lists are JSON text. The PostgreSQL type stands in the
field's metadata.

**JSON lines** hold numeric values as JSON numbers with all their digits. NaN and Infinity, which JSON has not, are
text.

| PostgreSQL | CSV | JSON lines |
|---|---|---|
| numeric | all digits as stored, no exponent | the same, as a number |
| boolean | `true`, `false` | boolean |
| timestamptz | `2026-01-31T08:00:00+00:00`, fractions of a second where there are any | the same, as text |
| bytea | base64, as FHIR writes it | the same, as text |
| jsonb, arrays | JSON text | the value |
"""

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from lambda_pipeline.console import render
from lambda_pipeline.errors import BadRequestError, ConfigurationError
from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.serving.column_types import Kind, kind_of, numeric_modifiers
from lambda_pipeline.serving.frames import python_values
from lambda_pipeline.views.view import Column

FileFormat = Literal["csv", "parquet"]
StreamFormat = Literal["table", "csv", "jsonl"]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_RIGHT_ALIGNED = frozenset({Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT})


def write(answer: Answer, folder: Path, *, name: str, format: FileFormat) -> Path:  # noqa: A002 (the word users know)
    """Write an answer's rows to `<folder>/<name>.<format>`, and `<name>.manifest.json` beside it.

    Each file appears whole or not at all, the manifest last; one of the same name is replaced. Files can be read by
    their owner alone (mode 600), and so can folders that are made here (700). The manifest holds the answer's summary,
    the columns with their types, and size, rows and SHA-256 of the file; no rows.

    Args:
        answer: what to write.
        folder: made when missing.
        name: letters, digits, `_`, `-` and `.`, not beginning with a dot or dash.
        format: of the file.

    Returns:
        The path of the file with the rows.

    Raises:
        BadRequestError: a name that is no plain file name, or an unknown format.
        ConfigurationError: the folder cannot be written.
    """
    if not _FILE_NAME.fullmatch(name):
        raise BadRequestError(f"{name[:80]!r} is no name for a result", hint="use letters, digits, _, - and .")
    writers: dict[str, Callable[[Answer, Path], None]] = {"csv": _write_csv, "parquet": _write_parquet}
    if format not in writers:
        raise BadRequestError(f"results are not written as {format}", hint=f"formats: {', '.join(writers)}")
    path = folder / f"{name}.{format}"
    try:
        _make_private(folder)
        _replace(path, lambda file: writers[format](answer, file))
        manifest = json.dumps(_manifest(answer, path, format), indent=2, ensure_ascii=False) + "\n"
        _replace(folder / f"{name}.manifest.json", lambda file: _write_text(file, manifest))
    except OSError as error:
        raise ConfigurationError(f"results cannot be written to {folder}: {error.strerror or error}") from None
    return path


def stream(answer: Answer, format: StreamFormat, out: TextIO) -> None:  # noqa: A002 (the word users know)
    """Write an answer's rows to a text stream; nothing else goes there.

    Args:
        answer: what to write.
        format: `table` for people; `csv` with a header, lines ended as the stream does; `jsonl`, one object per row.
        out: an open text stream, such as standard output.

    Raises:
        BadRequestError: an unknown format.
    """
    match format:
        case "table":
            out.write(_table(answer) + "\n")
        case "csv":
            out.writelines(line + "\n" for line in _csv_lines(answer))
        case "jsonl":
            out.writelines(line + "\n" for line in _json_lines(answer))
        case _:
            raise BadRequestError(f"there is no format {format}", hint="formats: table, csv, jsonl")


def to_json(value: object) -> str:
    """A value as JSON text: `Decimal` as a number with all its digits, times as ISO 8601, bytes as base64."""
    match value:
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return "{" + ", ".join(f"{to_json(str(key))}: {to_json(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(to_json(item) for item in value) + "]"
        case Decimal() if value.is_finite():
            return f"{value:f}"
        case float() if value - value == 0:
            return repr(value)
        case _:
            return json.dumps(_text(value), ensure_ascii=False)


def _rows(answer: Answer) -> Iterator[tuple[Any, ...]]:
    return zip(*python_values(answer.frame, answer.columns), strict=True) if answer.columns else iter(())


def _text(value: object) -> str:
    """A value that is not missing, as text without loss."""
    match value:
        case bool():
            text = "true" if value else "false"
        case Decimal() if value.is_finite():
            text = f"{value:f}"
        case datetime() | date() | time():
            text = value.isoformat()
        case bytes():
            text = base64.b64encode(value).decode("ascii")
        case dict() | list():
            text = to_json(value)
        case _:
            text = str(value)
    return text


def _cell(value: object, kind: Kind) -> str | None:
    if value is None:
        return None
    return to_json(value) if kind is Kind.JSON else _text(value)


def _cells(answer: Answer) -> Iterator[list[str | None]]:
    kinds = [kind_of(column.type) for column in answer.columns]
    for row in _rows(answer):
        yield [_cell(value, kind) for value, kind in zip(row, kinds, strict=True)]


def _table(answer: Answer) -> str:
    right = {index for index, column in enumerate(answer.columns) if kind_of(column.type) in _RIGHT_ALIGNED}
    return render([column.name for column in answer.columns], _cells(answer), right=right)


def _csv_lines(answer: Answer) -> Iterator[str]:
    yield ",".join(_csv_field(column.name) for column in answer.columns)
    for row in _cells(answer):
        yield ",".join(map(_csv_field, row))


_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$|^\\\.$')


def _csv_field(text: str | None) -> str:
    if text is None:
        return ""
    if not text or _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _json_lines(answer: Answer) -> Iterator[str]:
    names = [to_json(column.name) for column in answer.columns]
    for row in _rows(answer):
        yield "{" + ", ".join(f"{name}: {to_json(value)}" for name, value in zip(names, row, strict=True)) + "}"


def _write_csv(answer: Answer, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(line + "\r\n" for line in _csv_lines(answer))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_parquet(answer: Answer, path: Path) -> None:
    fields, arrays = [], []
    for column, values in zip(answer.columns, python_values(answer.frame, answer.columns), strict=True):
        type_ = _arrow_type(column, values)
        if pa.types.is_string(type_):
            kind = kind_of(column.type)
            stored: list[Any] = [_cell(value, kind) for value in values]
        else:
            stored = values
        fields.append(pa.field(column.name, type_, metadata={"postgresql_type": column.type}))
        arrays.append(pa.array(stored, type=type_))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)


_ARROW_INTEGERS = {"smallint": pa.int16(), "int2": pa.int16(), "bigint": pa.int64(), "int8": pa.int64()}
_ARROW_TYPES: dict[Kind, Any] = {
    Kind.FLOAT: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.BYTEA: pa.binary(),
}


def _arrow_type(column: Column, values: Sequence[Any]) -> Any:
    kind = kind_of(column.type)
    if kind is Kind.INTEGER:
        return _ARROW_INTEGERS.get(column.type, pa.int32())
    if kind is Kind.NUMERIC:
        return _arrow_decimal(column, [value for value in values if value is not None])
    return _ARROW_TYPES.get(kind, pa.string())


def _arrow_decimal(column: Column, values: Sequence[Decimal]) -> Any:
    if any(not value.is_finite() for value in values):
        return pa.string()
    precision, scale = numeric_modifiers(column.type) or _smallest(values)
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    if precision > 76:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _smallest(values: Sequence[Decimal]) -> tuple[int, int]:
    """Precision and scale that hold every value; 38 and 0 where there is none to tell."""
    if not values:
        return 38, 0
    scale = max(max(0, -int(value.as_tuple().exponent)) for value in values)
    whole = max(max(1, value.adjusted() + 1) for value in values)
    return whole + scale, scale


def _manifest(answer: Answer, path: Path, format_: str) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": path.name,
        "format": format_,
        "bytes": path.stat().st_size,
        "sha256": digest,
        "rows": len(answer.frame),
        "written_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "answer": answer.summary(),
    }


def _make_private(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _replace(path: Path, fill: Callable[[Path], None]) -> None:
    # mkstemp makes the file with mode 600, in the same folder so that the rename is one step.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        fill(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
