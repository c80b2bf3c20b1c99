"""The registry: saved queries by name, as the files of a folder declare them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lambda_pipeline.errors import BadRequestError, ConfigurationError, Problem, suggest
from lambda_pipeline.queries.header import read_sql
from lambda_pipeline.queries.library_reader import read_library
from lambda_pipeline.queries.saved_query import QueryFile, SavedQuery

MAX_BYTES = 1_000_000
SUFFIXES = (".sql", ".json")
"""Files of SQL, and Library resources."""


@dataclass(frozen=True, slots=True)
class QueryFolder:
    """What a folder of saved queries holds.

    Attributes:
        files: by file name, those that cannot be asked included.
    """

    files: tuple[QueryFile, ...] = ()

    @property
    def queries(self) -> tuple[SavedQuery, ...]:
        """Those that can be asked, by name."""
        return tuple(sorted((file.query for file in self.files if file.query), key=lambda query: query.name))

    def find(self, name: str) -> SavedQuery:
        """The query of a name.

        Raises:
            BadRequestError: there is none.
            SavedQueryError: its file has problems.
        """
        for file in self.files:
            if file.name == name:
                return file.require()
        names = [file.name for file in self.files]
        close = suggest(name, names)
        hint = f"did you mean {close}? " if close else ""
        raise BadRequestError(
            f"there is no saved query {name[:80]}", hint=f"{hint}saved queries: {', '.join(sorted(names)) or 'none'}"
        )


def read_queries(folder: Path) -> QueryFolder:
    """Read every saved query of a folder. Of two files with one name neither can be asked.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder", hint="set LAMBDA_PIPELINE_QUERIES")
    return QueryFolder(refuse_same_names([read_file(path) for path in find_files(folder)]))


def find_files(folder: Path) -> list[Path]:
    """The files of a folder that hold saved queries, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))


def read_file(path: Path) -> QueryFile:
    """The query of one file, or what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return _unreadable(path, f"is larger than {MAX_BYTES:,} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return _unreadable(path, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return _unreadable(path, "is not UTF-8")
    return read_text(text, path.name)


def read_text(text: str, file: str) -> QueryFile:
    """The query of a text, which is a Library if its file is called so."""
    return read_library(text, file) if file.endswith(".json") else read_sql(text, file)


def refuse_same_names(files: Sequence[QueryFile]) -> tuple[QueryFile, ...]:
    """The same files, with a problem for each whose query is called as that of another, upper and lower case alike."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_name[file.name.lower()].append(file.file)
    return tuple(_with_others(file, by_name[file.name.lower()]) for file in files)


def _with_others(file: QueryFile, same: Sequence[str]) -> QueryFile:
    if len(same) == 1:
        return file
    others = ", ".join(other for other in same if other != file.file) or file.file
    problem = Problem(file.file, "@name", f"{others} has a query called {file.name} too")
    return replace(file, query=None, problems=(*file.problems, problem))


def _unreadable(path: Path, reason: str) -> QueryFile:
    return QueryFile(path.name, path.stem, None, (Problem(path.name, "$", reason),))
