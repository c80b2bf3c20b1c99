"""The serving layer: questions in, answers out, each with the moment it is valid for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Self

import psycopg
from psycopg import sql

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.database import Database, reason
from lambda_pipeline.errors import BadRequestError, QuarantinedError, QueryFailedError, suggest
from lambda_pipeline.serving.answer import Answer, Counts, Mode
from lambda_pipeline.serving.filters import Filter, condition
from lambda_pipeline.serving.frames import columns_of, to_frame
from lambda_pipeline.serving.merge import MergeInput, batch_only, gains_and_losses, superseding, with_views
from lambda_pipeline.serving.read import OpenRead, open_batch, open_live, open_source
from lambda_pipeline.serving.sql.guard import GuardedSelect, guard
from lambda_pipeline.settings import Settings
from lambda_pipeline.source.flatten import is_data_error
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.views.view import Column, View

_UNSET: Any = object()


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
        limit: int | None = None,
        mode: Mode = "live",
        freshness_target_s: float | None = _UNSET,
        accept_quarantined: bool = True,
    ) -> Answer:
        """Rows of one view: merged first, then filtered, then limited.

        Args:
            view: its name.
            where: filters; all must hold.
            columns: which columns, in which order; all when empty.
            limit: how many rows to return at most; `row_count` counts all.
            mode: `live`, `batch` or `source`.
            freshness_target_s: how old the frontier of a live answer may be; older, and the source is read.
            accept_quarantined: refuse rather than answer when resources of the view cannot be read.

        Raises:
            BadRequestError: unknown view, column, operator or value.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        with self._layers([view], mode, freshness_target_s, accept_quarantined=accept_quarantined) as layers:
            layer = layers.layers[view]
            shown = _columns(layer.view, columns)
            matching, parameters = condition(where, layer.view.columns, prefix="lp:filter:")
            counts = self._view_counts(layers, layer, matching, parameters)
            merged = with_views([layer])
            statement = sql.SQL("{views}SELECT {columns} FROM {view} WHERE {matching} LIMIT {limit}").format(
                views=merged.text,
                columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in shown),
                view=sql.Identifier(view),
                matching=matching,
                limit=sql.Literal(limit),
            )
            rows = self._execute(layers, statement, {**merged.parameters, **parameters}).fetchall()
            answer = _answer(layers, mode, rows, shown, counts.total, counts if mode == "live" else None)
        return replace(answer, seconds=time.monotonic() - began)

    def select(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        mode: Mode = "live",
        freshness_target_s: float | None = _UNSET,
        compare: bool = False,
        accept_quarantined: bool = True,
    ) -> Answer:
        """Rows of one SELECT over the views by their names, each of them merged.

        Args:
            statement: one SELECT; `:name` stands for a parameter.
            parameters: values of the parameters, bound and never interpolated.
            limit: how many rows to return at most; `row_count` counts all.
            mode: `live`, `batch` or `source`.
            freshness_target_s: how old the frontier of a live answer may be; older, and the source is read.
            compare: tell as well what batch alone would have answered (runs the statement on both).
            accept_quarantined: refuse rather than answer when resources of the views cannot be read.

        Raises:
            BadRequestError: not one SELECT over known views, or parameters that do not fit it.
            AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
            QueryFailedError: PostgreSQL ended the query.
        """
        began = time.monotonic()
        guarded = guard(statement, self.known_views())
        values = _bound(guarded, parameters or {})
        names = guarded.views_used
        with self._layers(names, mode, freshness_target_s, accept_quarantined=accept_quarantined) as layers:
            chosen = [layers.layers[name] for name in names]
            limited = sql.SQL("SELECT * FROM ({}\n) AS answer LIMIT {}").format(
                sql.SQL(guarded.text), sql.Literal(limit)
            )
            cursor = self._execute(layers, *_over(chosen, limited, values))
            columns = columns_of(cursor.description)
            rows = cursor.fetchall()
            counts = self._sql_counts(layers, chosen, guarded, values) if compare else None
            total = counts.total if counts else len(rows)
            if counts is None and limit is not None and len(rows) == limit:
                total = self._count(layers, chosen, guarded, values)
            answer = _answer(layers, mode, rows, columns, total, counts)
        return replace(answer, seconds=time.monotonic() - began)

    def generation(self) -> Generation | None:
        """The published generation; None before the first."""
        with self.database.connect() as connection:
            return published(connection)

    def known_views(self) -> dict[str, View]:
        """Views that may be asked: as published, or else as their files define them."""
        generation = self.generation()
        held = {name: known.view for name, known in generation.views.items()} if generation else {}
        return {**self.views, **held}

    def close(self) -> None:
        """Close pooled connections."""
        self.database.close()
        if self.overlay:
            self.overlay.close()

    @contextmanager
    def _layers(
        self, names: Sequence[str], mode: Mode, freshness_target_s: float | None, *, accept_quarantined: bool
    ) -> Iterator[OpenRead]:
        known = self.known_views()
        for name in names:
            if name not in known:
                close = suggest(name, known)
                hint = f"did you mean {close}?" if close else f"known views: {', '.join(sorted(known))}"
                raise BadRequestError(f"unknown view {name}", hint=hint)
        target = self.settings.freshness_target_s if freshness_target_s is _UNSET else freshness_target_s
        opened: AbstractContextManager[OpenRead]
        if mode == "live":
            overlay = self.overlay if self.settings.speed_layer else None
            opened = open_live(self.database, overlay, self.settings, names, freshness_target_s=target)
        elif mode == "batch":
            opened = open_batch(self.database, names)
        elif mode == "source":
            opened = open_source(self.database, self.settings, self.views, names)
        else:
            raise BadRequestError(f"unknown mode {mode}", hint="live, batch or source")
        try:
            with opened as layers:
                if layers.quarantined and not accept_quarantined:
                    raise QuarantinedError(
                        f"{len(layers.quarantined)} resources cannot be read, first {layers.quarantined[0].resource}",
                        hint="correct them in HAPI, or accept an answer without them",
                    )
                yield layers
        except psycopg.Error as error:
            raise query_failed(error) from error

    def _execute(
        self, layers: OpenRead, statement: sql.Composed, parameters: Mapping[str, Any]
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        timeout = sql.SQL("SET LOCAL statement_timeout = {}").format(
            sql.Literal(int(self.settings.query_timeout_s * 1000))
        )
        layers.connection.execute(timeout)
        # The second fence around an analyst's SQL: a name that is no view of the WITH clause finds nothing.
        layers.connection.execute("SET LOCAL search_path = ''")
        return layers.connection.execute(statement, dict(parameters))

    def _view_counts(
        self, layers: OpenRead, layer: MergeInput, matching: sql.Composed, parameters: Mapping[str, Any]
    ) -> Counts:
        if not layer.entries:
            statement = sql.SQL("SELECT count(*) FROM {} AS batch WHERE {}").format(layer.table, matching)
            (batch,) = self._one(layers, statement, parameters)
            return Counts(batch, batch, 0, 0, 0, 0)
        fragment = gains_and_losses(layer, matching)
        batch, added, removed, entries, overlapping = self._one(
            layers, fragment.text, {**fragment.parameters, **parameters}
        )
        return Counts(batch + added - removed, batch, entries, overlapping, added, removed)

    def _sql_counts(
        self, layers: OpenRead, chosen: Sequence[MergeInput], guarded: GuardedSelect, values: Mapping[str, Any]
    ) -> Counts:
        if not any(layer.entries for layer in chosen):
            total = self._count(layers, chosen, guarded, values)
            return Counts(total, total, 0, 0, 0, 0)
        superseded = superseding(chosen)
        entries, overlapping = self._one(layers, superseded.text, superseded.parameters)
        merged, batch = with_views(chosen), with_views(batch_only(chosen))
        statement = sql.SQL(_COMPARISON).format(merged=merged.text, batch=batch.text, text=sql.SQL(guarded.text))
        total, batch_count, added, removed = self._one(
            layers, statement, {**merged.parameters, **batch.parameters, **values}
        )
        return Counts(total, batch_count, entries, overlapping, added, removed)

    def _count(
        self, layers: OpenRead, chosen: Sequence[MergeInput], guarded: GuardedSelect, values: Mapping[str, Any]
    ) -> int:
        counted = sql.SQL("SELECT count(*) FROM ({}\n) AS answer").format(sql.SQL(guarded.text))
        (total,) = self._one(layers, *_over(chosen, counted, values))
        return int(total)

    def _one(self, layers: OpenRead, statement: sql.Composed, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        row = self._execute(layers, statement, parameters).fetchone()
        assert row is not None
        return row


def _over(
    chosen: Sequence[MergeInput], statement: sql.Composed, values: Mapping[str, Any]
) -> tuple[sql.Composed, dict[str, Any]]:
    if not chosen:
        return statement, dict(values)
    merged = with_views(chosen)
    return sql.Composed([merged.text, statement]), {**merged.parameters, **values}


def _columns(view: View, names: Sequence[str]) -> tuple[Column, ...]:
    by_name = {column.name: column for column in view.columns}
    for name in names:
        if name not in by_name:
            close = suggest(name, by_name)
            hint = f"did you mean {close}?" if close else f"its columns: {', '.join(by_name)}"
            raise BadRequestError(f"view {view.name} has no column {name}", hint=hint)
    if len(set(names)) != len(names):
        raise BadRequestError("a column is asked for twice")
    return tuple(by_name[name] for name in names) if names else view.columns


def _bound(guarded: GuardedSelect, given: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in guarded.parameters if name not in given]
    unused = [name for name in given if name not in guarded.parameters]
    if missing or unused:
        what = f"no value for :{missing[0]}" if missing else f"the statement has no parameter :{unused[0]}"
        raise BadRequestError(what)
    return dict(given)


def _answer(
    layers: OpenRead,
    mode: Mode,
    rows: Sequence[Sequence[Any]],
    columns: Sequence[Column],
    total: int,
    counts: Counts | None,
) -> Answer:
    return Answer(
        frame=to_frame(rows, columns),
        columns=tuple(columns),
        row_count=total,
        valid_as_of=layers.frontier.taken_at,
        generation=layers.generation.number if layers.generation and mode != "source" else None,
        mode=mode,
        sources=layers.sources,
        counts=counts,
        quarantined=layers.quarantined,
        notes=layers.notes,
    )


_IN_SQL = {
    "22P02": "a text cannot be converted to the type that the statement asks for",
    "22003": "a number is out of range for its type",
    "22007": "a text cannot be read as a date or time; a FHIR date may be a year alone",
    "22008": "a date or time is out of range",
    "22012": "division by zero",
    "21000": "a subquery that stands for one value gives several rows",
}
"""What an SQLSTATE means in a question; in a body of a resource it means something else (`source.flatten`)."""


def query_failed(error: psycopg.Error) -> QueryFailedError:
    """What went wrong, without PostgreSQL's quotation of the value that it could not use."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return QueryFailedError("the query took too long", hint="narrow it, or raise LAMBDA_PIPELINE_QUERY_TIMEOUT_S")
    if is_data_error(error):
        state = error.sqlstate or ""
        return QueryFailedError(_IN_SQL.get(state, f"a value does not fit what is done with it (SQLSTATE {state})"))
    return QueryFailedError(reason(error))


# Both sides run in one statement, on one snapshot; the difference is one of multisets.
_COMPARISON = """
WITH merged_answer AS MATERIALIZED ({merged} SELECT * FROM ({text}
) AS answer),
batch_answer AS MATERIALIZED ({batch} SELECT * FROM ({text}
) AS answer)
SELECT (SELECT count(*) FROM merged_answer),
       (SELECT count(*) FROM batch_answer),
       (SELECT count(*) FROM (TABLE merged_answer EXCEPT ALL TABLE batch_answer) AS added),
       (SELECT count(*) FROM (TABLE batch_answer EXCEPT ALL TABLE merged_answer) AS removed)"""
