"""Options of the commands that ask a question, each declared once, and what their words mean."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from lambda_pipeline.serving import Filter, Mode, Operator, parse_filter
from lambda_pipeline.serving.export import StreamFormat

SHOWN_ROWS = 50
"""Rows that a terminal gets where no limit is given: the rest would scroll away what is said about the answer."""

Option = Callable[[Callable[..., Any]], Callable[..., Any]]

OPERATORS = (
    f"Operators: {', '.join(Operator)}. Values of in and between are separated by commas or a JSON array; "
    "that of is-null is true or false. ne leaves out rows whose value is missing, as SQL does."
)
"""What `--help` says about filters."""

where_option: Option = click.option(
    "--where",
    nargs=3,
    multiple=True,
    metavar="COLUMN OP VALUE",
    help="Keep rows where this holds; several must all hold. Applied after the merge.",
)
"""The filters of a question over one view; `read_filters` reads them."""

count_option: Option = click.option("--count", is_flag=True, help="Print only the number of rows.")

mode_option: Option = click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="live",
    show_default=True,
    help="live: batch and speed merged; batch: the generation alone; source: a recompute from HAPI.",
)


def limit_option(help_: str) -> Option:
    """`--limit`, described by this sentence; `shown_limit` gives the one in force."""
    return click.option("--limit", type=click.IntRange(min=0), metavar="N", help=help_)


def format_option(what: str = "rows") -> Option:
    """`--format`: how rows, or whatever they are called, are printed."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(get_args(StreamFormat)),
        default="table",
        show_default=True,
        help=f"How {what} are printed.",
    )


def max_age_option(*names: str) -> Option:
    """`--max-age`, the freshness target in seconds; `names` where the command calls it otherwise."""
    return click.option(
        *(names or ("--max-age",)),
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Read HAPI's tables too when what is captured is older than this.",
    )


def answer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both kinds of question have."""
    limit = limit_option(f"Print at most N rows; all count. A table on a terminal has {SHOWN_ROWS} by default.")
    for option in reversed((count_option, limit, mode_option, format_option(), max_age_option())):
        command = option(command)
    return command


def read_filters(where: Sequence[tuple[str, str, str]]) -> list[Filter]:
    """The filters of `--where`.

    Raises:
        BadRequestError: an unknown operator, or a value that it does not take.
    """
    return [parse_filter(column, operator, value) for column, operator, value in where]


def read_names(columns: str) -> list[str]:
    """The names in `--columns`; none where it is empty."""
    return [name.strip() for name in columns.split(",")] if columns else []


def shown_limit(*, count: bool, limit: int | None, format_: StreamFormat) -> int | None:
    """The limit in force: a table on a terminal has one by default, and a count needs no rows."""
    if count:
        return 0
    return SHOWN_ROWS if limit is None and format_ == "table" and sys.stdout.isatty() else limit
