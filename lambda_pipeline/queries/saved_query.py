"""A saved query: one SELECT with what is declared about it. How it is written in a file stands in `header`.

Names and words are those of the profile SQLQuery of SQL on FHIR 3.0.0-ballot.
"""

import re
from dataclasses import dataclass
from typing import Literal

from lambda_pipeline.errors import Problem, SavedQueryError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
"""Of a query, a parameter and a label; PostgreSQL cuts longer names."""

NAME_HINT = "a name begins with a letter, then come letters, digits and _, 63 characters at most"

Status = Literal["draft", "active", "retired", "unknown"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter; each question gives it one value.

    Attributes:
        name: without the colon.
        type: a primitive type of FHIR that `values` knows.
        text: for people; may be empty.
        example: a value of the type as text, from the end of the text: `(example: 2025-01-01)`; None without one.
    """

    name: str
    type: str
    text: str = ""
    example: str | None = None

    def __str__(self) -> str:
        return f":{self.name} {self.type}"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A table that the SQL reads.

    Attributes:
        resource: canonical URL of a ViewDefinition or of an SQLView, or the name of one.
        label: what the SQL calls it.
        place: where it is declared, for problems.
    """

    resource: str
    label: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One SELECT and what is declared about it.

    Attributes:
        name: by which it is asked.
        sql: the text as it is in the file, header included.
        file: name of the file.
        declared: whether the file declares anything. If not, parameters have no types, and every view may be read.
        is_view: whether other queries may read it (profile SQLView).
        parameters: in the order of their declaration.
        dependencies: in that order too; none: every view may be read by its name.
        title, description, version, authors, publisher, url: for people; empty where nothing is said.
        status: draft where nothing is said.
    """

    name: str
    sql: str
    file: str = ""
    declared: bool = False
    is_view: bool = False
    parameters: tuple[Parameter, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    title: str = ""
    description: str = ""
    version: str = ""
    status: Status = "draft"
    authors: tuple[str, ...] = ()
    publisher: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class QueryFile:
    """What was found in one file.

    Attributes:
        file: its name.
        name: of the query, as far as it is known: what the file says, or else its own name without suffix.
        query: None where there are problems.
        problems: why it cannot be asked.
        warnings: what does not keep it from being asked.
    """

    file: str
    name: str
    query: SavedQuery | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def require(self) -> SavedQuery:
        """The query.

        Raises:
            SavedQueryError: the file has problems.
        """
        if self.query is None:
            raise SavedQueryError(self.problems)
        return self.query
