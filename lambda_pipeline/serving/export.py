"""Answers as files and streams: CSV, Parquet, JSON lines, and a table for terminals.

How values become text belongs in `cells`, lines of text in `text_lines`, Parquet's types in `parquet`.

**CSV** is RFC 4180 in UTF-8 without a byte order mark, lines end in CR LF. A missing value is an empty field, an empty
text is `""`, so that the two differ; a missing value in a file of one column is an empty line, which some readers skip:
the manifest states the number of rows. Values are exact: nothing is put before a text that begins with `=`, `+`, `-` or
`@`. A spreadsheet may take such a text for a formula; import the column as text there.

**Parquet** has one type per column: numeric becomes decimal128 or decimal256 with the column's precision and scale, or
where it has none with the smallest that hold every value (all values then show one scale). Numbers of more than 76
digits, and NaN or Infinity, make the column text. JSON and lists are JSON text. The PostgreSQL type stands in the
field's metadata.

**JSON lines** hold numeric values as JSON numbers with all their digits. NaN and Infinity, which JSON lacks, are
text.

| PostgreSQL | CSV | JSON lines |
|---|---|---|
| numeric | all digits as stored, no exponent | the same, as a number |
| boolean | `true`, `false` | boolean |
| timestamptz | `2026-01-31T08:00:00+00:00`, fractions of a second where there are any | the same, as text |
| bytea | base64, as FHIR writes it | the same, as text |
| jsonb, arrays | JSON text | the value |
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TextIO

from lambda_pipeline.console import render
from lambda_pipeline.errors import BadRequestError, ConfigurationError
from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.serving.cells import cells_of
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.serving.text_lines import csv_lines, json_lines

FileFormat = Literal["csv", "parquet"]
StreamFormat = Literal["table", "csv", "jsonl"]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_RIGHT_ALIGNED = frozenset({TypeFamily.INTEGER, TypeFamily.NUMERIC, TypeFamily.FLOAT})


def write(
    answer: Answer,
    folder: Path,
    *,
    name: str,
    format: FileFormat,  # noqa: A002 (the word users know)
    run_id: str | None = None,
) -> Path:
    """Write an answer's rows to `<folder>/<name>.<format>`, and `<name>.manifest.json` beside it.

    Each file appears whole or not at all, the manifest last; one of the same name is replaced. Files can be read by
    their owner alone (mode 600), and so can folders that are made here (700). The manifest holds the question with the
    values of its filters and parameters, the answer's summary, the digests of the definitions that were read, the
    columns with their types, and size, rows and SHA-256 of the file; no rows.

    Args:
        answer: what to write.
        folder: made when missing.
        name: letters, digits, `_`, `-` and `.`, not beginning with a dot or dash.
        format: of the file.
        run_id: of the run that asked; None outside of Dagster.

    Returns:
        The path of the file with the rows.

    Raises:
        BadRequestError: a name that is not a plain file name, or an unknown format.
        ConfigurationError: the folder cannot be written.
    """
    if not _FILE_NAME.fullmatch(name):
        raise BadRequestError(f"{name[:80]!r} cannot be the name of a result", hint="use letters, digits, _, - and .")
    writers: dict[str, Callable[[Answer, Path], None]] = {"csv": _write_csv, "parquet": _write_parquet}
    if format not in writers:
        raise BadRequestError(f"results are not written as {format}", hint=f"formats: {', '.join(writers)}")
    path = folder / f"{name}.{format}"
    try:
        _make_private(folder)
        _replace(path, lambda file: writers[format](answer, file))
        manifest = json.dumps(_manifest(answer, path, format, run_id), indent=2, ensure_ascii=False) + "\n"
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
            out.writelines(line + "\n" for line in csv_lines(answer))
        case "jsonl":
            out.writelines(line + "\n" for line in json_lines(answer))
        case _:
            raise BadRequestError(f"there is no format {format}", hint="formats: table, csv, jsonl")


def _table(answer: Answer) -> str:
    right = {index for index, column in enumerate(answer.columns) if type_family(column.type) in _RIGHT_ALIGNED}
    return render([column.name for column in answer.columns], cells_of(answer), right=right)


def _write_csv(answer: Answer, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(line + "\r\n" for line in csv_lines(answer))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_parquet(answer: Answer, path: Path) -> None:
    # Imported here: pyarrow takes longer to import than most questions take to answer.
    from lambda_pipeline.serving.parquet import write_parquet  # noqa: PLC0415

    write_parquet(answer, path)


def _manifest(answer: Answer, path: Path, format_: str, run_id: str | None) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": path.name,
        "format": format_,
        "bytes": path.stat().st_size,
        "sha256": digest,
        "rows": len(answer.rows),
        "written_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "question": answer.question.content if answer.question else None,
        "question_sha256": answer.question.sha256 if answer.question else None,
        "answer": answer.summary(),
        "views": dict(answer.digests),
        "lambda_pipeline": version("lambda-pipeline"),
        "run_id": run_id,
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
