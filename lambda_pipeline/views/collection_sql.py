"""SQL of FHIRPath's functions on collections, which come as a set-returning function over their elements."""
# ruff: noqa: S608 (writing SQL is the purpose)

from collections.abc import Mapping

AGGREGATES: Mapping[str, str] = {
    "count": "(SELECT count(*)::numeric FROM {rows} q(v))",
    "isDistinct": "(NOT EXISTS (SELECT FROM {rows} q(v) GROUP BY q.v HAVING count(*) > 1))",
    "allTrue": "coalesce((SELECT bool_and(q.v::boolean) FROM {rows} q(v)), true)",
    "anyTrue": "coalesce((SELECT bool_or(q.v::boolean) FROM {rows} q(v)), false)",
    "allFalse": "(NOT coalesce((SELECT bool_or(q.v::boolean) FROM {rows} q(v)), false))",
    "anyFalse": "(NOT coalesce((SELECT bool_and(q.v::boolean) FROM {rows} q(v)), true))",
}
"""Functions whose result is one value; none is NULL."""


def distinct(rows: str) -> str:
    """The different elements as a jsonb array, each where it occurs first; NULL when there is none."""
    return _first_of_each(f"{rows} WITH ORDINALITY")


def union(left: str, right: str) -> str:
    """The different elements of two collections as a jsonb array, those of the left first."""
    return _first_of_each(
        f"(SELECT l.v, l.o FROM {left} WITH ORDINALITY l(v, o)"
        f" UNION ALL SELECT r.v, r.o + 4294967296 FROM {right} WITH ORDINALITY r(v, o))"
    )


def membership(item: str, rows: str) -> str:
    """Whether a jsonb value is one of the elements; NULL if it is NULL."""
    return f"(SELECT CASE WHEN i.v IS NOT NULL THEN i.v IN (SELECT {rows}) END FROM (SELECT {item} OFFSET 0) i(v))"


def _first_of_each(elements: str) -> str:
    return (
        f"(SELECT jsonb_agg(d.v ORDER BY d.o) FROM (SELECT q.v, min(q.o) FROM {elements} q(v, o) GROUP BY q.v) d(v, o))"
    )
