"""Tests of a view, and its contract: the model of a file `<view>.tests.yaml` beside the ViewDefinition.

Here is only what such a file may contain. How it is read and compared with its view stands in `tests_reader.py`, how
tests run in `operations/view_tests.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

TestKind = Literal["unique", "not_null", "accepted_values", "relationships", "row_count", "examples"]
AcceptedValue = StrictBool | StrictInt | Decimal | StrictStr
ColumnName = Annotated[str, Field(min_length=1, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Relationship(_Part):
    """The column of another view that has every value of a column."""

    view: StrictStr
    column: ColumnName


class RowCount(_Part):
    """How far the number of rows may be from that of the last generation, as a share of it."""

    max_change_percent: Annotated[Decimal, Field(ge=0)]


class Example(_Part):
    """One resource, and the rows that the view gives for it: of each row the columns that are named."""

    name: Annotated[str, Field(min_length=1, max_length=100, strict=True)]
    resource: dict[str, Any]
    rows: tuple[dict[str, Any], ...]


class Contract(_Part):
    """Columns that the view must have, with their PostgreSQL types; it may have more."""

    enforced: StrictBool
    columns: Annotated[dict[str, StrictStr], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class TestCase:
    """One test.

    Attributes:
        name: unique in its view; letters, digits and `_`.
        kind: what is tested.
        columns: of the view; empty for `row_count` and `examples`.
        text: the test in words.
        values: those that `accepted_values` accepts.
        other: the other view of `relationships`.
        most: the percentage of `row_count`.
    """

    name: str
    kind: TestKind
    columns: tuple[str, ...] = ()
    text: str = ""
    values: tuple[bool | int | Decimal | str, ...] = ()
    other: Relationship | None = None
    most: Decimal = Decimal(0)


class ViewTests(_Part):
    """The content of one file of tests.

    Attributes:
        severity: of the asset checks when a test fails.
        unique: columns, or lists of columns, whose values occur in one row only; rows with a NULL there do not count.
        not_null: columns that have a value in each row.
        accepted_values: the values that a column may have; NULL is accepted.
        relationships: the other view's column where each value of a column is; NULL is accepted.
        row_count: the drift of the number of rows.
        examples: resources and their rows.
        contract: columns and types that other programs rely on.
    """

    severity: Literal["warn", "error"] = "error"
    unique: tuple[ColumnName | tuple[ColumnName, ...], ...] = ()
    not_null: tuple[ColumnName, ...] = ()
    accepted_values: dict[str, Annotated[tuple[AcceptedValue, ...], Field(min_length=1)]] = Field(default_factory=dict)
    relationships: dict[str, Relationship] = Field(default_factory=dict)
    row_count: RowCount | None = None
    examples: tuple[Example, ...] = ()
    contract: Contract | None = None

    def cases(self) -> tuple[TestCase, ...]:
        """All tests in the order of the file's keys; the examples are one."""
        return (*self._of_columns(), *self._of_view())

    def _of_columns(self) -> Iterator[TestCase]:
        for each in self.unique:
            columns = (each,) if isinstance(each, str) else each
            yield TestCase(_name("unique", columns), "unique", columns, f"{', '.join(columns)}: unique")
        for column in self.not_null:
            yield TestCase(_name("not_null", (column,)), "not_null", (column,), f"{column}: not NULL")
        for column, values in self.accepted_values.items():
            text = f"{column}: one of {', '.join(map(str, values))}"
            yield TestCase(_name("accepted_values", (column,)), "accepted_values", (column,), text, values)
        for column, other in self.relationships.items():
            text = f"{column}: a value of {other.view}.{other.column}"
            yield TestCase(_name("relationships", (column,)), "relationships", (column,), text, other=other)

    def _of_view(self) -> Iterator[TestCase]:
        if self.row_count is not None:
            most = self.row_count.max_change_percent
            text = f"rows: at most {most} % more or fewer than in the last generation"
            yield TestCase("row_count", "row_count", (), text, most=most)
        if self.examples:
            names = ", ".join(example.name for example in self.examples)
            yield TestCase("examples", "examples", (), f"examples: {names}")


def contract_breaches(contract: Contract, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The columns that are not as a contract says, each with what is wrong.

    Args:
        contract: of the view.
        columns: PostgreSQL types of the view's columns, by name.
    """
    for name, wanted in contract.columns.items():
        if name not in columns:
            yield name, "the contract has this column, and the view has none of this name"
        elif columns[name] != wanted:
            yield name, f"the contract says {wanted}, and the column is {columns[name]}"


def _name(kind: str, columns: tuple[str, ...]) -> str:
    return "_".join((kind, *columns))
