"""Rows of one view counted by group: the question, its statement, and its answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import Any, Unpack

from psycopg import sql

from lambda_pipeline.cohorts.counts import Count
from lambda_pipeline.cohorts.disclosure import protect_groups
from lambda_pipeline.cohorts.groups import AGE_BANDS, Ages, Group, parse_groups
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving import Answer, Composition, Filter, ReadOptions, Serving
from lambda_pipeline.serving.answer import Question
from lambda_pipeline.serving.arguments import check_types_of_query
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.serving.filters import condition
from lambda_pipeline.serving.options import DEFAULTS, OptionValues
from lambda_pipeline.serving.question import question_of_view
from lambda_pipeline.views.view import Column, View

COUNT = "_count"
"""The last column of the answer; no column of a view begins with an underscore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCounts(Answer):
    """One row for each group: its values, and `_count`, the number of rows of the view.

    Attributes:
        total: rows that were counted; text such as `<11` where that number is small and not shown.
        withheld: groups that are not shown, since too few rows are in them.
        min_cell: the lowest count that is shown; 0 where all are. Where it is not 0, `_count` is text, and `hidden`
            where the number would tell a small one.
    """

    total: Count
    withheld: int
    min_cell: int

    def summary(self) -> dict[str, Any]:
        """As that of an answer, with `total`, `withheld` and `min_cell`."""
        return {**Answer.summary(self), "total": self.total, "withheld": self.withheld, "min_cell": self.min_cell}


def count_by(
    serving: Serving,
    view: str,
    by: Sequence[str],
    *,
    where: Sequence[Filter] = (),
    age_bands: Sequence[int] = AGE_BANDS,
    age_at: date | None = None,
    min_cell: int | None = None,
    options: ReadOptions = DEFAULTS,
    **changed: Unpack[OptionValues],
) -> GroupCounts:
    """Count the rows of a view by group: merged first, then filtered, then counted.

    Args:
        serving: the serving layer.
        view: its name.
        by: names of columns; of a date also `birth_date:year`, `birth_date:month` or `birth_date:age`. A date that is
            only a year has no month, and is counted under its own value; a moment is of the month in which it was
            written, in its own zone. An age that the date does not decide is `unknown`.
        where: filters; all must hold.
        age_bands: the lowest age of each band but the first, in years.
        age_at: the day on which somebody has the age; today in UTC by default.
        min_cell: the lowest count that is shown, 0 for all; None stands for the setting `disclosure_min_cell`.
        options: how the question is answered; the limit is one of groups.
        changed: single options that differ, such as `mode="batch"`.

    Raises:
        BadRequestError: unknown view, column, part, operator or value.
        AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
        AnswerTooLargeError: more groups than the settings allow.
        QueryFailedError: PostgreSQL ended the query.
    """
    began = time.monotonic()
    check_types_of_query(view, where, by, options)
    options = replace(options, **changed)
    if not isinstance(age_bands, list | tuple):
        raise BadRequestError("age_bands is not a list of years")
    ages = Ages(tuple(age_bands), datetime.now(UTC).date() if age_at is None else age_at)
    limit = (serving.settings.disclosure_min_cell if min_cell is None else min_cell) or 0

    def compose(views: Mapping[str, View]) -> Composition:
        return _compose(views[view], by, where, ages)

    # Which counts are shown depends on all of them, so the limit comes last.
    answer = serving.compute([view], compose, options=replace(options, limit=None, compare=False))
    counted = _protected(answer, limit)
    shown = counted.rows if options.limit is None else counted.rows[: options.limit]
    question = _question(view, by, where, ages, limit, options)
    return replace(counted, rows=shown, question=question, seconds=time.monotonic() - began)


def _question(
    view: str, by: Sequence[str], where: Sequence[Filter], ages: Ages, min_cell: int, options: ReadOptions
) -> Question:
    asked = question_of_view(view, (), where, options).content
    counted = {"by": list(by), "age_bands": list(ages.bands), "age_at": ages.at.isoformat(), "min_cell": min_cell}
    return Question({**{name: value for name, value in asked.items() if name != "columns"}, **counted})


def _compose(view: View, by: Sequence[str], where: Sequence[Filter], ages: Ages) -> Composition:
    groups = parse_groups(view, by)
    matching, parameters = condition(where, view.columns, prefix="filter")
    values = [group.value(ages) for group in groups]
    places = range(1, len(groups) + 1)
    statement = sql.SQL("SELECT {}, count(*) AS {} FROM {} WHERE {} GROUP BY {} ORDER BY {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(value, sql.Identifier(group.shown.name))
            for value, group in zip(values, groups, strict=True)
        ),
        sql.Identifier(COUNT),
        sql.Identifier(view.name),
        matching,
        sql.SQL(", ").join(map(sql.SQL, map(str, places))),
        sql.SQL(", ").join(map(_ordered, values, groups)),
    )
    return Composition(statement, parameters, (*(group.shown for group in groups), Column(COUNT, "bigint")))


def _ordered(value: sql.Composable, group: Group) -> sql.Composed:
    text = type_family(group.shown.type) is TypeFamily.TEXT
    return sql.SQL('{} COLLATE "C"' if text else "{}").format(value)


def _protected(answer: Answer, min_cell: int) -> GroupCounts:
    counts = [row[-1] for row in answer.rows]
    known = {each.name: getattr(answer, each.name) for each in fields(Answer) if each.init}
    if not min_cell:
        return GroupCounts(**known, total=sum(counts), withheld=0, min_cell=0)
    shown, total = protect_groups(counts, min_cell)
    rows = [(*row[:-1], str(count)) for row, count in zip(answer.rows, shown, strict=True) if count is not None]
    withheld = len(counts) - len(rows)
    note = f"{withheld:,} groups of fewer than {min_cell} rows, or whose number would tell of them, are not shown"
    known |= {"notes": (*answer.notes, note) if withheld else answer.notes}
    known |= {"rows": rows, "columns": (*answer.columns[:-1], Column(COUNT, "text")), "row_count": len(rows)}
    return GroupCounts(**known, total=total, withheld=withheld, min_cell=min_cell)
