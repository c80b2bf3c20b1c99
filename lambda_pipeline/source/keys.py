"""What identifies resources: their keys, and ranges of them.

No SQL over HAPI's tables stands here (`tables.py`), and nothing about bodies (`bodies.py`).
"""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

NO_PARTITION = -1
"""Stands for `PARTITION_ID` NULL, so that keys can be compared with plain equality."""


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """Identity of a resource: partition, type and logical id."""

    partition: int
    type: str
    id: str

    def __str__(self) -> str:
        where = "" if self.partition == NO_PARTITION else f" in partition {self.partition}"
        return f"{self.type}/{self.id}{where}"


@dataclass(frozen=True, slots=True)
class Member:
    """One living resource of a type, without its body."""

    res_id: int
    key: ResourceKey
    version: int


@dataclass(frozen=True, slots=True)
class ResourceRange:
    """Which resources of a type: a closed range of `res_id`, or a list of them; all by default."""

    low: int | None = None
    high: int | None = None
    res_ids: tuple[int, ...] | None = None

    def condition(self, alias: str) -> sql.Composable:
        """The range as a SQL condition on the `res_id` of a table alias; it takes `parameters`."""
        column = sql.Identifier(alias, "res_id")
        if self.res_ids is not None:
            return sql.SQL("{} = ANY (%(res_ids)s::bigint[])").format(column)
        if self.low is None:
            return sql.SQL("TRUE")
        return sql.SQL("{} BETWEEN %(low)s AND %(high)s").format(column)

    @property
    def parameters(self) -> dict[str, Any]:
        """Values for the parameters of `condition`."""
        return {"res_ids": list(self.res_ids) if self.res_ids is not None else None, "low": self.low, "high": self.high}
