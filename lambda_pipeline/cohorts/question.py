"""A compiled definition: its statement, its parameters, and what the rows of its result mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import sql

from lambda_pipeline.views.view import Column


class Part(StrEnum):
    """What a row of the result counts; it has the columns `part, place, text, number, n, m`.

    | part | place | text | number | n | m |
    |---|---|---|---|---|---|
    | persons | | | | persons of the view | ids that the view has several rows for |
    | candidates | | | | persons with a candidate | |
    | rule | rule | | | persons that this rule and all before it keep | persons that this rule alone excludes |
    | cell | | sex | age band | persons | |
    | other_unit | criterion | | | rows | |
    | undecided | criterion | | | rows; for an age persons | |
    | undated | | | | rows of the index without a date | |
    | person | | id | | | |
    """

    PERSONS = "persons"
    CANDIDATES = "candidates"
    RULE = "rule"
    CELL = "cell"
    OTHER_UNIT = "other_unit"
    UNDECIDED = "undecided"
    UNDATED = "undated"
    PERSON = "person"


COLUMNS = (
    Column("part", "text"),
    Column("place", "integer"),
    Column("text", "text"),
    Column("number", "integer"),
    Column("n", "bigint"),
    Column("m", "bigint"),
)
"""The columns of the result."""


@dataclass(frozen=True, slots=True)
class Question:
    """A compiled definition.

    Attributes:
        statement: one SELECT over the views by their names, with `%(name)s` for each parameter.
        parameters: their values.
        places: what `other_unit` and `undecided` count for: JSON paths of the definition, by `place`.
    """

    statement: sql.Composed
    parameters: Mapping[str, Any]
    places: tuple[str, ...]

    @property
    def text(self) -> str:
        """The statement for people, and for `lambda-pipeline sql`: with `:name` for each parameter."""
        return re.sub(r"%\((\w+)\)s", r":\1", self.statement.as_string(None))
