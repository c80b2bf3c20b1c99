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


class RowSource:
    """Columns computed once per row of a FROM item.

    Args:
        alias: of the FROM item.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._subqueries: list[list[tuple[str, str]]] = [[]]
        self._kept_at = 0
        self._known: dict[str, tuple[str, int]] = {}

    def column(self, expression: str, letter: str) -> str:
        """Compute an expression once per row.

        Args:
            expression: SQL over this FROM item and those before it. It is evaluated for every row that the condition
                lets pass, even if no column needs it there: it must not fail on valid FHIR.
            letter: first letter of the name of its column.

        Returns:
            The column, to write instead of the expression.
        """
        if expression not in self._known:
            depth = max((below + 1 for used, below in self._known.values() if _names(expression, used)), default=0)
            depth = max(depth, self._kept_at)
            name = f"{letter}{len(self._known) + 1}"
            while len(self._subqueries) <= depth:
                self._subqueries.append([])
            self._subqueries[depth].append((expression, name))
            self._known[expression] = (f"{self.alias}.{name}", depth)
        return self._known[expression][0]

    def keep(self) -> None:
        """Compute the columns so far for every row, and later columns only for rows that meet the condition."""
        if self._known:
            self._kept_at = len(self._subqueries)
            self._subqueries.append([])

    def mentions(self, text: str) -> bool:
        """Whether a text occurs in an expression of this source."""
        return any(text in expression for expression in self._known)

    def around(self, item: str, condition: str = "") -> str:
        """The FROM item with its columns.

        Args:
            item: the FROM item, with its alias.
            condition: on rows; empty to keep all rows. It sees the columns from before `keep`.
        """
        for depth, listed in enumerate(self._subqueries):
            columns = "".join(f",\n        {expression} AS {name}" for expression, name in listed)
            where = f"\n  WHERE {condition}" if condition and depth == self._kept_at else ""
            fence = "\n OFFSET 0" if listed else ""
            if columns or where:
                item = f"(SELECT {self.alias}.*{columns}\n   FROM {indented(item, 8)}{where}{fence}) {self.alias}"
        return item


def _names(expression: str, column: str) -> bool:
    return re.search(rf"\b{re.escape(column)}\b", expression) is not None


def indented(text: str, spaces: int) -> str:
    """Move all lines but the first to the right. SQL literals must not contain line breaks."""
    return text.replace("\n", "\n" + " " * spaces)
