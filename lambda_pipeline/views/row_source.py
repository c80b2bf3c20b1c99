"""Row sources: the resources, or the elements of an iteration, and what is computed once for each of them.

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

`OFFSET 0` keeps the planner from putting the expressions back where the columns are used. The subqueries share one
alias, so that an expression reads the same in each of them. They cost much less than a LATERAL join does per row.
"""
# ruff: noqa: S608 (writing SQL is the purpose)

import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Layer:
    """One subquery: the conditions its rows have to meet, then what is computed for those."""

    conditions: list[str] = field(default_factory=list)
    columns: list[tuple[str, str]] = field(default_factory=list)


class RowSource:
    """Columns computed once per row of a FROM item.

    Args:
        alias: of the FROM item.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._layers: list[_Layer] = []
        self._first_open = 0
        self._known: dict[str, tuple[str, int]] = {}

    def column(self, expression: str, letter: str) -> str:
        """Have an expression computed once per row.

        Args:
            expression: SQL over this FROM item and those before it. It is evaluated for every row that the conditions
                so far let pass, also where no column needs it: it should not fail on what FHIR allows.
            letter: that the name of its column begins with.

        Returns:
            What to write instead of it.
        """
        if expression not in self._known:
            layer = max((below + 1 for used, below in self._known.values() if _names(expression, used)), default=0)
            layer = max(layer, self._first_open)
            name = f"{letter}{len(self._known) + 1}"
            self._layer(layer).columns.append((expression, name))
            self._known[expression] = (f"{self.alias}.{name}", layer)
        return self._known[expression][0]

    def keep(self, conditions: list[str]) -> None:
        """Let only rows go on for which conditions are true; what comes later is not computed for the others."""
        if conditions:
            self._first_open = len(self._layers)
            self._layer(self._first_open).conditions += conditions

    def mentions(self, text: str) -> bool:
        """Whether a text occurs in what is computed here."""
        return any(text in expression for expression in self._known)

    def around(self, item: str) -> str:
        """The FROM item with its columns.

        Args:
            item: it, with its alias.
        """
        for layer in self._layers:
            columns = "".join(f",\n        {expression} AS {name}" for expression, name in layer.columns)
            where = "".join(
                f"\n  {'WHERE' if index == 0 else '  AND'} {condition}"
                for index, condition in enumerate(layer.conditions)
            )
            fence = "\n OFFSET 0" if layer.columns else ""
            item = f"(SELECT {self.alias}.*{columns}\n   FROM {indented(item, 8)}{where}{fence}) {self.alias}"
        return item

    def _layer(self, index: int) -> _Layer:
        while len(self._layers) <= index:
            self._layers.append(_Layer())
        return self._layers[index]


def _names(expression: str, column: str) -> bool:
    return re.search(rf"\b{re.escape(column)}\b", expression) is not None


def indented(text: str, spaces: int) -> str:
    """SQL with all lines but the first moved to the right. Its literals have no line breaks."""
    return text.replace("\n", "\n" + " " * spaces)
