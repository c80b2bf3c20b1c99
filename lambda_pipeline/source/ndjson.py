"""Files of FHIR resources, plain or gzipped: their lines, or their whole content.

What a line has to be is decided by the callers: `cli/documents.py` gives lines to PostgreSQL as they are, and
`demo/hapi/loading.py` stores them as a server would.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from lambda_pipeline.errors import BadDataError


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; `number` counts from 1, including empty lines."""

    number: int
    text: str


def read_lines(path: Path) -> Iterator[Line]:
    """Read an NDJSON file line by line, without its empty lines.

    Raises:
        BadDataError: the file cannot be read to its end, or a line is not UTF-8.
    """
    with _opened(path) as file:
        for number, data in enumerate(file, start=1):
            if data.strip():
                try:
                    yield Line(number, data.decode("utf-8-sig"))
                except UnicodeDecodeError:
                    raise BadDataError(f"{path.name} line {number}: is not UTF-8") from None


def read_content(path: Path) -> bytes:
    """Read a whole file, such as a bundle.

    Raises:
        BadDataError: it cannot be read to its end.
    """
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataError(f"{path.name}: cannot be read to its end: {error}") from None
