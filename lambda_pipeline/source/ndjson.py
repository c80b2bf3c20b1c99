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

GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        number: counts from 1, including empty lines.
        text: its content; None if it is not UTF-8.
    """

    number: int
    text: str | None


def read_lines(path: Path) -> Iterator[Line]:
    """Read an NDJSON file line by line, without its empty lines.

    Raises:
        BadDataError: the file cannot be read to its end.
    """
    with _opened(path) as file:
        for number, data in enumerate(file, start=1):
            if data.strip():
                yield Line(number, _decode(data))


def _decode(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


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
        with path.open("rb") as raw:
            # By content: files lose their suffix on the way, or are unpacked and keep it.
            if raw.peek(2)[:2] == GZIP:
                with gzip.open(raw) as unpacked:
                    yield cast("IO[bytes]", unpacked)
            else:
                yield raw
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataError(f"{path.name}: cannot be read to its end: {error}") from None
