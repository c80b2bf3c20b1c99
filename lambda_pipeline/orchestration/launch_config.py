"""Launchpad config of the query jobs, validated before a run is created.

What a question may ask is checked by the serving layer; here is only what the launchpad needs.

Names are enumerations: the launchpad completes them and refuses unknown ones while they are typed. Free text is
declared as `Any` on purpose: in every field that Dagster knows to be text it replaces `{env: NAME}` by the value of
that variable, which would show any secret of the server to everybody who may launch a job.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import dagster as dg
from pydantic import AfterValidator, ConfigDict, Field, create_model, model_validator

from lambda_pipeline.cohorts.groups import AGE_BANDS, Ages, parse_groups
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.operations.parity import SERVED_MODES, ServedMode
from lambda_pipeline.orchestration.words import list_words, make_words
from lambda_pipeline.queries import QueryFolder, SavedQuery, read_sql
from lambda_pipeline.queries.dependencies import definitions_of, statement_of
from lambda_pipeline.queries.values import bind
from lambda_pipeline.serving import Filter, Operator, ReadOptions
from lambda_pipeline.serving.filters import condition
from lambda_pipeline.serving.parameters import check_parameters
from lambda_pipeline.serving.service import check_columns
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.views import View, ViewFolder

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def _text(value: object) -> object:
    if isinstance(value, dict) and set(value) == {"env"}:
        raise ValueError("must be text; variables of the server's environment are not read here")
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 (pydantic reports ValueError)
    return value


def _optional_text(value: object) -> object:
    return None if value is None else _text(value)


def _file_name(value: object) -> object:
    if value is not None and not _FILE_NAME.fullmatch(str(_text(value))):
        raise ValueError("letters, digits, _, - and . only, not beginning with a dot or dash, at most 100")
    return value


def _by_name(value: object) -> object:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be values by the names of parameters")
    return value


Text = Annotated[Any, AfterValidator(_text)]
OptionalText = Annotated[Any, AfterValidator(_optional_text)]
# Dagster's own maps end in an error of its code where a value is null.
Parameters = Annotated[Any, AfterValidator(_by_name)]
FileName = Annotated[Any, AfterValidator(_file_name)]


@list_words
class ModeName(StrEnum):
    """The words of `serving.Mode`: Dagster's launchpad shows enumerations, not Literals."""

    live = "live"
    batch = "batch"
    source = "source"


@list_words
class FormatName(StrEnum):
    """The words of `serving.export.FileFormat`."""

    csv = "csv"
    parquet = "parquet"


@list_words
class ServedName(StrEnum):
    """The words of `operations.parity.ServedMode`, and both of them."""

    live = "live"
    batch = "batch"
    both = "both"


class Strict(dg.Config):
    """Config whose errors do not repeat what was written: it may be a secret, or a patient's name."""

    model_config = ConfigDict(hide_input_in_errors=True)


class FileOptions(Strict):
    """Where the rows go, and what an answer may be."""

    limit: int | None = Field(None, ge=1, description="Rows of the file at most; after merge and filters.")
    format: FormatName = Field(FormatName.csv, description="Of the file.")
    name: FileName = Field(
        None, description="Name of the file without suffix; one of the same name is replaced. The run's id by default."
    )
    preview: int = Field(
        0, ge=0, le=100,
        description="Show this many rows with the run. They stay in Dagster's database, patient data included.",
    )  # fmt: skip
    freshness_target_s: float | None = Field(
        None, gt=0, description="Live answers: read HAPI's tables too when the overlay is older than this."
    )
    accept_quarantined: bool = Field(
        default=True, description="Off: fail rather than answer when resources of the views cannot be read."
    )


class ResultOptions(FileOptions):
    """The same, and how a question is answered."""

    mode: ModeName = Field(
        ModeName.live,
        description="live: batch and speed merged; batch: the published generation; source: a recompute from HAPI.",
    )

    def read_options(self, *, compare: bool = False) -> ReadOptions:
        """How the serving layer answers."""
        return ReadOptions(
            mode=self.mode.value,
            limit=self.limit,
            freshness_target_s=self.freshness_target_s,
            compare=compare,
            accept_quarantined=self.accept_quarantined,
        )


class SqlQuery(ResultOptions):
    """Config of `sql_query`."""

    query: Any = None
    sql: OptionalText = Field(
        None,
        description="One SELECT over the views by their names; `:name` stands for a parameter. It is stored with the "
        "run: do not put patient data here. lambda-pipeline sql and Python store no question.",
    )
    parameters: Parameters = Field(
        default={}, description="Values of the parameters: text, numbers, booleans or lists of them; always bound."
    )
    compare: bool = Field(
        default=False, description="Also say what the batch layer alone would answer; not with mode source."
    )

    @model_validator(mode="after")
    def _one_question(self) -> "SqlQuery":
        if (self.query is None) == (self.sql is None):
            raise ValueError("state either query, the name of a saved query, or sql")
        return self

    def saved(self, queries: QueryFolder) -> SavedQuery:
        """The query asked: the saved one, or the text, which may have a header too.

        Raises:
            BadRequestError: its header has problems.
        """
        return read_sql(self.sql, "sql").require() if self.query is None else queries.find(self.query.value)

    def bound(self) -> dict[str, Any]:
        """Values of the parameters, numbers exact."""
        return {name: exact(value) for name, value in self.parameters.items()}


class ParityOptions(Strict):
    """Config of `parity_check`."""

    mode: ServedName = Field(
        ServedName.both, description="live: batch and speed merged; batch: the published generation; or both."
    )
    everything: bool = Field(default=False, description="Compare every resource rather than a sample.")
    sample: int | None = Field(
        None, ge=1, description="Resources per view and side; the setting parity_sample by default."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Chooses the sample: that of an earlier check chooses the same one again."
    )

    def modes(self) -> list[ServedMode]:
        """The modes to check."""
        return [mode for mode in SERVED_MODES if self.mode in (mode, ServedName.both)]


class OneView(FileOptions):
    """A question over one view, without the enumerations that `over_views` adds."""

    view: Any
    where: list[Any]

    def filters(self) -> list[Filter]:
        """The conditions, numbers exact."""
        return [Filter(each.column.value, Operator(each.operator.value), exact(each.value)) for each in self.where]


class ViewChoice(OneView):
    """Rows of one view."""

    columns: list[Any]

    def column_names(self) -> list[str]:
        """The columns asked for, as text."""
        return [str(column.value) for column in self.columns]


class ViewQuery(ViewChoice, ResultOptions):
    """Config of `view_query`."""


class ViewChanges(ViewChoice):
    """Config of `view_changes`."""

    def read_options(self) -> ReadOptions:
        """How the serving layer answers."""
        return ReadOptions(
            limit=self.limit,
            freshness_target_s=self.freshness_target_s,
            accept_quarantined=self.accept_quarantined,
        )


class ViewCounts(OneView, ResultOptions):
    """Config of `view_counts`."""

    by: list[Text] = Field(description="Columns to count by; of a date also birth_date:year, :month or :age.")
    age_bands: list[int] = Field(list(AGE_BANDS), description="For :age, the lowest age of each band but the first.")
    age_at: Text | None = Field(None, description="For :age, the day, such as 2026-01-31; that of the run by default.")

    def age_day(self) -> date | None:
        """The day on which somebody has the age.

        Raises:
            BadRequestError: it is no day.
        """
        try:
            return None if self.age_at is None else date.fromisoformat(self.age_at)
        except ValueError:
            raise BadRequestError("age_at is no day", hint="write 2026-01-31") from None


Choice = TypeVar("Choice", bound=OneView)


def over_views(base: type[Choice], names: Sequence[str], views: Sequence[View]) -> type[Choice]:
    """The config of a job over one of these views, with their names and columns as enumerations.

    Args:
        base: what else the config has.
        names: of all views; what files that do not compile call their columns is not known.
        views: of the files that compile.
    """
    columns = make_words("ColumnName", {column.name for view in views for column in view.columns})
    operators = make_words("OperatorName", Operator)
    filter_model = create_model(
        "ViewFilter",
        __base__=Strict,
        column=(columns, Field(description="A column of the view.")),
        operator=(operators, Field(operators["eq"], description="How it is compared.")),
        value=(Any, Field(description="One value; a list of them for in, two for between; true or false for is-null.")),
    )
    chosen: dict[str, Any] = {}
    if "columns" in base.model_fields:
        chosen["columns"] = (
            list[columns],  # type: ignore[valid-type]
            Field([], description="Columns of the file, in this order; all when empty."),
        )
    return create_model(
        base.__name__,
        __base__=base,
        **chosen,
        view=(make_words("ViewName", names), Field(description="The view to read.")),
        where=(list[filter_model], Field([], description="All of these must hold.")),
    )


def check_view_query(query: ViewChoice, views: Mapping[str, View]) -> None:
    """Refuse what the serving layer would refuse, without a server; it alone knows a view whose file does not compile.

    Raises:
        BadRequestError: a column that the view lacks, or one asked for twice; an operator or value that does not fit
            the column's type.
    """
    view = views.get(query.view.value)
    if view is not None:
        check_columns(view, query.column_names())
        condition(query.filters(), view.columns)


def check_view_counts(counts: ViewCounts, views: Mapping[str, View]) -> None:
    """Refuse what counting would refuse, as `check_view_query`.

    Raises:
        BadRequestError: something to count by, a filter, or an age that cannot be.
    """
    Ages(tuple(counts.age_bands), counts.age_day() or date.min)
    view = views.get(counts.view.value)
    if view is not None:
        parse_groups(view, counts.by)
        condition(counts.filters(), view.columns)


def check_parity_options(options: ParityOptions) -> None:
    """Refuse options that contradict each other.

    Raises:
        BadRequestError: both everything and a sample are asked for.
    """
    if options.everything and options.sample is not None:
        raise BadRequestError("everything and sample exclude each other", hint="leave one of them out")


def sql_query_model(queries: QueryFolder) -> type[SqlQuery]:
    """The config of `sql_query`, with the names of the saved queries that can be asked as an enumeration."""
    names = [query.name for query in queries.queries]
    if not names:
        return SqlQuery
    words = make_words("QueryName", names)
    described = Field(None, description="A saved query by its name, rather than sql.")
    return create_model("SavedSqlQuery", __base__=SqlQuery, query=(words | None, described))


def check_sql_query(query: SqlQuery, folder: ViewFolder, queries: QueryFolder) -> None:
    """Refuse what the serving layer would refuse, without a server; it alone knows a view whose file does not compile.

    Raises:
        BadRequestError: not one SELECT over known views, parameters that do not fit it, dependencies that nothing is
            known of, or compare with mode source.
    """
    query.read_options(compare=query.compare)
    saved = query.saved(queries)
    values = bind(saved, query.bound())
    if saved.dependencies and folder.broken:
        return
    definitions = definitions_of(folder)
    check_parameters(guard(statement_of(saved, definitions, queries.queries), definitions), values)


def exact(value: Any) -> Any:
    """The value with the digits that were written: YAML and JSON read decimals as floats."""
    if isinstance(value, float):
        return Decimal(repr(value))
    return [exact(item) for item in value] if isinstance(value, list) else value


def environment_references(config: object, path: str = "") -> list[str]:
    """Where raw run config asks Dagster for an environment variable: `["limit"]` for `{limit: {env: NAME}}`."""
    if isinstance(config, Mapping):
        if set(config) == {"env"}:
            return [path]
        return [
            hit for key, value in config.items() for hit in environment_references(value, f"{path}.{key}".lstrip("."))
        ]
    if isinstance(config, Sequence) and not isinstance(config, str):
        return [hit for index, value in enumerate(config) for hit in environment_references(value, f"{path}[{index}]")]
    return []
