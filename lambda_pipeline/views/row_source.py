"""Row sources: the resources, or the elements of an iteration, and the columns computed once for each of them.

An expression that several columns use, or that SQL names several times, becomes a column of its row source. It is
computed in a subquery around it; one that builds on another is computed in a subquery around that:

    (SELECT s.*,
            s.f1 ->> 'code' AS t2
       FROM (SELECT s.*,
                    s.j ->> 'status' AS t1,
                    s.j -> 'code' -> 'coding' -> 0 AS f1
               FROM ... s
             OFFSET 0) s
     OFFSET 0) s

`OFFSET 0` stops the planner from moving the expressions back to where the columns are used. The subqueries share one
alias, so that an expression has the same text in each of them. They cost much less per row than a LATERAL join.
"""
# ruff: noqa: S608 (writing SQL is the purpose)

import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Subquery:
    """One subquery: the conditions that its rows have to meet, then the columns that are computed for those rows."""

    conditions: list[str] = field(default_factory=list)
    columns: list[tuple[str, str]] = field(default_factory=list)


class RowSource:
    """Columns computed once per row of a FROM item.

    Args:
        alias: of the FROM item.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._subqueries: list[_Subquery] = []
        self._first_open = 0
        self._known: dict[str, tuple[str, int]] = {}

    def column(self, expression: str, letter: str) -> str:
        """Compute an expression once per row.

        Args:
            expression: SQL over this FROM item and those before it. It is evaluated for every row that the conditions
                so far let pass, even if no column needs it there: it must not fail on valid FHIR.
            letter: first letter of the name of its column.

        Returns:
            The column, to write instead of the expression.
        """
        if expression not in self._known:
            depth = max((below + 1 for used, below in self._known.values() if _names(expression, used)), default=0)
            depth = max(depth, self._first_open)
            name = f"{letter}{len(self._known) + 1}"
            self._subquery(depth).columns.append((expression, name))
            self._known[expression] = (f"{self.alias}.{name}", depth)
        return self._known[expression][0]

    def keep(self, conditions: list[str]) -> None:
        """Keep only the rows for which the conditions are true; later columns are not computed for the other rows."""
        if conditions:
            self._first_open = len(self._subqueries)
            self._subquery(self._first_open).conditions += conditions

    def mentions(self, text: str) -> bool:
        """Whether a text occurs in an expression of this source."""
        return any(text in expression for expression in self._known)

    def around(self, item: str) -> str:
        """The FROM item with its columns.

        Args:
            item: the FROM item, with its alias.
        """
        for subquery in self._subqueries:
            columns = "".join(f",\n        {expression} AS {name}" for expression, name in subquery.columns)
            where = "".join(
                f"\n  {'WHERE' if index == 0 else '  AND'} {condition}"
                for index, condition in enumerate(subquery.conditions)
            )
            fence = "\n OFFSET 0" if subquery.columns else ""
            item = f"(SELECT {self.alias}.*{columns}\n   FROM {indented(item, 8)}{where}{fence}) {self.alias}"
        return item

    def _subquery(self, depth: int) -> _Subquery:
        while len(self._subqueries) <= depth:
            self._subqueries.append(_Subquery())
        return self._subqueries[depth]


def _names(expression: str, column: str) -> bool:
    return re.search(rf"\b{re.escape(column)}\b", expression) is not None


def indented(text: str, spaces: int) -> str:
    """Move all lines but the first to the right. SQL literals must not contain line breaks."""
    return text.replace("\n", "\n" + " " * spaces)
