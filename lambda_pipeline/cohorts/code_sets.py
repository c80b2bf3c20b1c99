"""Code sets: named lists of codes of one system, in files whose SHA-256 a definition states.

A file `<name>.yaml` states `system`, `version` and `codes`. A code with `descendants: true` also stands for the codes
below it in the hierarchy, a CSV file with the header `child,parent` whose SHA-256 the code set states.
"""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool, StrictStr, ValidationError

from lambda_pipeline.cohorts.definition import Part, Text, Title
from lambda_pipeline.cohorts.document import json_path, parse_text
from lambda_pipeline.errors import BadRequestError

SUFFIX = ".yaml"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
MAX_CODES = 500_000


class Code(Part):
    """One code, alone or with all below it."""

    code: Text = Field(min_length=1)
    display: Text = ""
    descendants: StrictBool = False


class Hierarchy(Part):
    """The file that says which code is below which."""

    file: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
    sha256: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]


class CodeSetFile(Part):
    """The content of a code set's file."""

    title: Title
    system: Text = Field(min_length=1)
    version: Text = Field(min_length=1)
    codes: tuple[Code, ...]
    hierarchy: Hierarchy | None = None


@dataclass(frozen=True, slots=True)
class CodeSet:
    """A code set as it is asked for.

    Attributes:
        name: of its file, without the suffix.
        system: the URI that its codes belong to.
        version: of the system or of the set, as its file states.
        codes: with all descendants, sorted.
        sha256: of the file.
    """

    name: str
    system: str
    version: str
    codes: tuple[str, ...]
    sha256: str


def code_set_names(folder: Path) -> list[str]:
    """The code sets of a folder, sorted; none where the folder is missing."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.stem))


def read_code_set(folder: Path, name: str) -> CodeSet:
    """Read one code set and expand its descendants.

    Raises:
        BadRequestError: there is no such file, it is no code set, or its hierarchy is not the one that it states.
    """
    if not _NAME.fullmatch(name):
        raise BadRequestError("a code set's name has letters, digits, _ and - only")
    path = folder / f"{name}{SUFFIX}"
    content = _read(path)
    try:
        raw = parse_text(content.decode("utf-8-sig"), name=path.name)
        file = CodeSetFile.model_validate(raw)
    except UnicodeDecodeError:
        raise BadRequestError(f"{path.name} is not UTF-8") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRequestError(f"{path.name}: {json_path(first['loc'])}: {first['msg']}") from None
    codes = _expand(file, _children(folder, file, path.name), path.name)
    return CodeSet(name, file.system, file.version, codes, hashlib.sha256(content).hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequestError(f"code set file {path.name} cannot be read: {error.strerror}") from None


def _children(folder: Path, file: CodeSetFile, name: str) -> Mapping[str, list[str]]:
    if file.hierarchy is None:
        if any(code.descendants for code in file.codes):
            raise BadRequestError(f"{name}: descendants need a hierarchy file", hint="state hierarchy: {file, sha256}")
        return {}
    content = _read(folder / file.hierarchy.file)
    if hashlib.sha256(content).hexdigest() != file.hierarchy.sha256:
        raise BadRequestError(f"{name}: {file.hierarchy.file} has another SHA-256 than the code set states")
    children: dict[str, list[str]] = {}
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        if next(rows, None) != ["child", "parent"]:
            raise BadRequestError(f"{file.hierarchy.file}: the header is not child,parent")
        for child, parent in rows:
            children.setdefault(parent, []).append(child)
    except (ValueError, csv.Error):
        raise BadRequestError(f"{file.hierarchy.file}: not CSV of two columns in UTF-8") from None
    return children


def _expand(file: CodeSetFile, children: Mapping[str, list[str]], name: str) -> tuple[str, ...]:
    found = {code.code for code in file.codes}
    waiting = [code.code for code in file.codes if code.descendants]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
        if len(found) > MAX_CODES:
            raise BadRequestError(f"{name}: more than {MAX_CODES:,} codes")
    return tuple(sorted(found))
