"""The serving layer: questions in, answers out, each with the moment it is valid for.

When an answer may be given is decided in `read`, how both layers meet in `merge`, what an answer holds in `answer`.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self, Unpack

from psycopg import sql

from lambda_pipeline.batch.generation import Generation, published, published_digests
from lambda_pipeline.database import Database
from lambda_pipeline.errors import BadRequestError, QuarantinedError, suggest
from lambda_pipeline.serving.answer import Answer, Counts, Mode
from lambda_pipeline.serving.arguments import check_types_of_query, check_types_of_select
from lambda_pipeline.serving.changes import CHANGE_COLUMNS, Changes, check_options_of_changes
from lambda_pipeline.serving.compare import comparison
from lambda_pipeline.serving.filters import Filter, condition
from lambda_pipeline.serving.merge import MergeInput, gained_and_lost, gains_and_losses, superseding, with_views
from lambda_pipeline.serving.options import DEFAULTS, OptionValues, ReadOptions
from lambda_pipeline.serving.parameters import check_parameters
from lambda_pipeline.serving.question import question_of_changes, question_of_sql, question_of_view
from lambda_pipeline.serving.read import OpenRead, open_batch, open_live, open_source
from lambda_pipeline.serving.resource import Resource, read_resource, read_resources
from lambda_pipeline.serving.results import columns_of, plain_rows
from lambda_pipeline.serving.sql.guard import GuardedSelect, guard
from lambda_pipeline.serving.statement import Limits, Result, errors_of_queries, run
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.views.view import Column, View


@dataclass(frozen=True, slots=True)
class Composition:
    """A statement that this project composed over views by their names.

    Attributes:
        statement: one SELECT, with `%(name)s` for each parameter.
        parameters: their values; no name begins with `lp:`.
        columns: of its rows.
    """

    statement: sql.Composed
    parameters: Mapping[str, Any]
    columns: Sequence[Column]


class Serving:
    """Answers questions over the views.

    Works wherever both servers can be reached: in Dagster jobs, scripts and notebooks alike.

    Args:
        database: HAPI's database, which holds the batch layer.
        overlay: the speed layer's store; None when it is switched off.
        views: the views of this deployment.
        settings: time limits and defaults.
    """

    def __init__(self, database: Database, overlay: Overlay | None, views: Sequence[View], settings: Settings) -> None:
        self.database = database
        self.overlay = overlay
        self.views = {view.name: view for view in views}
        self.settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(
        self,
        view: str,
        *,
        where: Sequence[Filter] = (),
        columns: Sequence[str] = (),
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> Answer:
        """Rows of one view: merged first, then filtered, then limited.

        Args:
            view: its name.
            where: filters; all must hold.
            columns: which columns, in which order; all when empty.
            options: how the question is answered.
            changed: single options that differ, such as `mode="batch"`.

        Raises:
            BadRequestError: unknown view, column, operator or value.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            AnswerTooLargeError: more rows or bytes than the settings allow.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        check_types_of_query(view, where, columns, options)
        options = replace(options, **changed)
        with self._open([view], self._published_digests(), options) as read:
            merge_input = read.inputs[view]
            shown = check_columns(merge_input.view, columns)
            matching, parameters = condition(where, merge_input.view.columns, prefix="lp:filter:")
            counts = self._count_view(read, merge_input, matching, parameters)
            merged = with_views([merge_input])
            statement = sql.SQL("{views}SELECT {columns} FROM {view} WHERE {matching} LIMIT {limit}").format(
                views=merged.text,
                columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in shown),
                view=sql.Identifier(view),
                matching=matching,
                limit=sql.Literal(options.limit),
            )
            rows = self._execute(read, statement, {**merged.parameters, **parameters}).rows
            given = counts if options.mode == "live" else None
            answer = _make_answer(read, options.mode, rows, shown, counts.total, given)
        question = question_of_view(view, columns, where, options)
        return replace(answer, question=question, seconds=time.monotonic() - began)

    def changes(
        self,
        view: str,
        *,
        where: Sequence[Filter] = (),
        columns: Sequence[str] = (),
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> Changes:
        """Rows of one view that were added or removed since the published generation, each with the resource it is of.

        A resource that was updated gives its old rows as removed and its new ones as added; a row that it had before
        and still has is not shown. Rows are compared in the columns that are asked for, after the filters.

        Args:
            view: its name.
            where: filters; all must hold. A row that no longer passes them is removed.
            columns: which columns, in which order; all when empty.
            options: how the question is answered, in mode live.
            changed: single options that differ, such as `limit=100`.

        Raises:
            BadRequestError: unknown view, column, operator or value, or another mode than live.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            AnswerTooLargeError: more rows or bytes than the settings allow.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        check_types_of_query(view, where, columns, options)
        options = replace(options, **changed)
        check_options_of_changes(options)
        with self._open([view], self._published_digests(), options) as read:
            merge_input = read.inputs[view]
            shown = check_columns(merge_input.view, columns)
            matching, parameters = condition(where, merge_input.view.columns, prefix="lp:filter:")
            counts = self._count_view(read, merge_input, matching, parameters, shown)
            differing = gained_and_lost(merge_input, matching, shown)
            limited = sql.SQL("{} LIMIT {}").format(differing.text, sql.Literal(options.limit))
            rows = self._execute(read, limited, {**differing.parameters, **parameters}).rows
            answer = _make_changes(read, rows, shown, counts)
        question = question_of_changes(view, columns, where, options)
        return replace(answer, question=question, seconds=time.monotonic() - began)

    def select(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> Answer:
        """Rows of one SELECT over the views by their names, each of them merged.

        Args:
            statement: one SELECT; `:name` stands for a parameter.
            parameters: values of the parameters, bound and never interpolated.
            options: how the question is answered.
            changed: single options that differ, such as `compare=True`.

        Raises:
            BadRequestError: not one SELECT over known views, or parameters that do not fit it.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            AnswerTooLargeError: more rows or bytes than the settings allow.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        check_types_of_select(statement, parameters, options)
        options = replace(options, **changed)
        digests = self._published_digests()
        guarded = guard(statement, {*self.views, *digests})
        values = check_parameters(guarded, parameters or {})
        with self._open(guarded.views_used, digests, options) as read:
            inputs = [read.inputs[name] for name in guarded.views_used]
            limited = sql.SQL("SELECT * FROM ({}\n) AS answer LIMIT {}").format(
                sql.SQL(guarded.text), sql.Literal(options.limit)
            )
            result = self._execute(read, *_over(inputs, limited, values), question=guarded.text)
            columns = columns_of(result.description)
            rows = result.rows
            counts = self._count_sql(read, inputs, guarded, values, columns) if options.compare else None
            total = counts.total if counts else len(rows)
            if counts is None and options.limit is not None and len(rows) == options.limit:
                total = self._count(read, inputs, guarded, values)
            answer = _make_answer(read, options.mode, rows, columns, total, counts)
        question = question_of_sql(statement, values, options)
        return replace(answer, question=question, seconds=time.monotonic() - began)

    def compute(
        self,
        views: Sequence[str],
        compose: Callable[[Mapping[str, View]], Composition],
        *,
        options: ReadOptions = DEFAULTS,
        **changed: Unpack[OptionValues],
    ) -> Answer:
        """Rows of a statement that this project composes from the views as they are read, each of them merged.

        It runs as that of a question does: on one snapshot, read-only, within the limits. Nothing guards it, so no text
        of a user may be in it other than as a parameter.

        Args:
            views: the views that it reads.
            compose: gives the statement, from these views by name with the columns that they have in this snapshot.
            options: how the question is answered.
            changed: single options that differ, such as `mode="batch"`.

        Raises:
            BadRequestError: an unknown view, or as `compose`.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            AnswerTooLargeError: more rows or bytes than the settings allow.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        options = replace(options, **changed)
        with self._open(views, self._published_digests(), options) as read:
            composition = compose({name: merge_input.view for name, merge_input in read.inputs.items()})
            inputs = [read.inputs[name] for name in views]
            limited = sql.SQL("SELECT * FROM ({}\n) AS answer LIMIT {}").format(
                composition.statement, sql.Literal(options.limit)
            )
            rows = self._execute(read, *_over(inputs, limited, composition.parameters)).rows
            answer = _make_answer(read, options.mode, rows, composition.columns, len(rows), None)
        return replace(answer, seconds=time.monotonic() - began)

    def resource(self, reference: str) -> Resource:
        """The current state of one resource, such as `Patient/123`: see `resource.read_resource`.

        Raises:
            BadRequestError: it is no reference.
            AmbiguousResourceError: several partitions have this id, and the reference names none.
            QuarantinedError: it is there and cannot be read.
            SourceError: HAPI's tables cannot be read.
        """
        overlay = self.overlay if self.settings.speed_layer else None
        with errors_of_queries():
            return read_resource(self.database, overlay, self.settings, reference)

    def resources(self, resource_type: str, *, since: datetime | None = None) -> list[Resource]:
        """The resources of a type that polls captured after a moment: see `resource.read_resources`.

        Raises:
            BadRequestError: no moment with a time zone, or a type that no view reads.
            AnswerRefusedError: the overlay does not hold all of them, or one cannot be read.
            RedisUnavailableError: Redis cannot be read.
        """
        overlay = self.overlay if self.settings.speed_layer else None
        with errors_of_queries():
            return read_resources(self.database, overlay, self.settings, resource_type, since)

    def known_views(self) -> dict[str, View]:
        """The views that may be asked, by name: as they are published, else as their files define them."""
        generation = self.generation()
        published_views = {name: known.view for name, known in generation.views.items()} if generation else {}
        return {**self.views, **published_views}

    def generation(self) -> Generation | None:
        """The published generation; None before the first."""
        with errors_of_queries(), self.database.connect() as connection:
            return published(connection)

    def close(self) -> None:
        """Close pooled connections."""
        self.database.close()
        if self.overlay:
            self.overlay.close()

    def _published_digests(self) -> dict[str, str]:
        with errors_of_queries(), self.database.connect() as connection:
            return published_digests(connection)

    @contextmanager
    def _open(self, names: Sequence[str], digests: Mapping[str, str], options: ReadOptions) -> Iterator[OpenRead]:
        check_views(names, {*self.views, *digests})
        opened: AbstractContextManager[OpenRead]
        if options.mode == "live":
            overlay = self.overlay if self.settings.speed_layer else None
            target = options.freshness_target_s
            if target is None:
                target = self.settings.oldest_frontier_s
            opened = open_live(self.database, overlay, self.settings, names, freshness_target_s=target, digests=digests)
        elif options.mode == "batch":
            opened = open_batch(self.database, self.settings, names)
        else:
            opened = open_source(self.database, self.settings, self.views, names)
        with errors_of_queries(), opened as read:
            if read.quarantined and not options.accept_quarantined:
                raise QuarantinedError(
                    f"{len(read.quarantined)} resources cannot be read, first {read.quarantined[0].resource}",
                    hint="correct them in HAPI, or accept an answer without them",
                )
            yield read

    def _execute(
        self, read: OpenRead, statement: sql.Composed, parameters: Mapping[str, Any], *, question: str = ""
    ) -> Result:
        timeout = sql.SQL("SET LOCAL statement_timeout = {}").format(
            sql.Literal(int(self.settings.query_timeout_s * 1000))
        )
        read.connection.execute(timeout)
        # The second fence around an analyst's SQL: a name that is not in the WITH clause finds nothing.
        read.connection.execute("SET LOCAL search_path = ''")
        limits = Limits(self.settings.answer_max_rows, self.settings.answer_max_bytes)
        return run(read.connection, statement, parameters, limits=limits, question=question)

    def _count_view(
        self,
        read: OpenRead,
        merge_input: MergeInput,
        matching: sql.Composed,
        parameters: Mapping[str, Any],
        shown: Sequence[Column] | None = None,
    ) -> Counts:
        if not merge_input.entries:
            statement = sql.SQL("SELECT count(*) FROM {} AS batch WHERE {}").format(merge_input.table, matching)
            (batch,) = self._fetch_one(read, statement, parameters)
            return Counts(batch, batch, 0, 0, 0, 0)
        fragment = gains_and_losses(merge_input, matching, shown)
        batch, added, removed, entries, overlapping = self._fetch_one(
            read, fragment.text, {**fragment.parameters, **parameters}
        )
        return Counts(batch + added - removed, batch, entries, overlapping, added, removed)

    def _count_sql(
        self,
        read: OpenRead,
        inputs: Sequence[MergeInput],
        guarded: GuardedSelect,
        values: Mapping[str, Any],
        columns: Sequence[Column],
    ) -> Counts:
        if not any(merge_input.entries for merge_input in inputs):
            total = self._count(read, inputs, guarded, values)
            return Counts(total, total, 0, 0, 0, 0)
        superseded = superseding(inputs)
        entries, overlapping = self._fetch_one(read, superseded.text, superseded.parameters)
        compared = comparison(inputs, guarded.text, columns)
        total, batch_count, added, removed = self._fetch_one(read, compared.text, {**compared.parameters, **values})
        return Counts(total, batch_count, entries, overlapping, added, removed)

    def _count(
        self, read: OpenRead, inputs: Sequence[MergeInput], guarded: GuardedSelect, values: Mapping[str, Any]
    ) -> int:
        counted = sql.SQL("SELECT count(*) FROM ({}\n) AS answer").format(sql.SQL(guarded.text))
        (total,) = self._fetch_one(read, *_over(inputs, counted, values))
        return int(total)

    def _fetch_one(self, read: OpenRead, statement: sql.Composed, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        (row,) = self._execute(read, statement, parameters).rows
        return row


def _over(
    inputs: Sequence[MergeInput], statement: sql.Composed, values: Mapping[str, Any]
) -> tuple[sql.Composed, dict[str, Any]]:
    if not inputs:
        return statement, dict(values)
    merged = with_views(inputs)
    return sql.Composed([merged.text, statement]), {**merged.parameters, **values}


def check_views(names: Sequence[str], known: Collection[str]) -> None:
    """Check that views of these names may be asked.

    Raises:
        BadRequestError: one of them is unknown.
    """
    for name in names:
        if name not in known:
            close = suggest(name, known)
            hint = f"did you mean {close}?" if close else f"known views: {', '.join(sorted(known))}"
            raise BadRequestError(f"unknown view {name}", hint=hint)


def check_columns(view: View, names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a view by their names, in this order; all of them when no name is given.

    Raises:
        BadRequestError: the view lacks one of them, or one is asked for twice.
    """
    by_name = {column.name: column for column in view.columns}
    for name in names:
        if name not in by_name:
            close = suggest(name, by_name)
            hint = f"did you mean {close}?" if close else f"its columns: {', '.join(by_name)}"
            raise BadRequestError(f"view {view.name} has no column {name}", hint=hint)
    if len(set(names)) != len(names):
        raise BadRequestError("a column is asked for twice")
    return tuple(by_name[name] for name in names) if names else view.columns


def _make_changes(read: OpenRead, rows: Sequence[Sequence[Any]], shown: Sequence[Column], counts: Counts) -> Changes:
    assert read.generation is not None
    columns = (*CHANGE_COLUMNS, *shown)
    return Changes(
        rows=plain_rows(rows, columns),
        columns=columns,
        row_count=counts.added + counts.removed,
        valid_as_of=read.frontier.taken_at,
        since=read.generation.mark.taken_at,
        generation=read.generation.number,
        mode="live",
        sources=read.sources,
        counts=counts,
        quarantined=read.quarantined,
        notes=read.notes,
        digests={name: merge_input.view.digest for name, merge_input in read.inputs.items()},
    )


def _make_answer(
    read: OpenRead,
    mode: Mode,
    rows: Sequence[Sequence[Any]],
    columns: Sequence[Column],
    total: int,
    counts: Counts | None,
) -> Answer:
    return Answer(
        rows=plain_rows(rows, columns),
        columns=tuple(columns),
        row_count=total,
        valid_as_of=read.frontier.taken_at,
        generation=read.generation.number if read.generation and mode != "source" else None,
        mode=mode,
        sources=read.sources,
        counts=counts,
        quarantined=read.quarantined,
        notes=read.notes,
        digests={name: merge_input.view.digest for name, merge_input in read.inputs.items()},
    )
