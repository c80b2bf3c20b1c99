"""`changes`: the rows of a view that came and went since the published generation."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from lambda_pipeline.cli.deployed import opened, warn_of_broken_files
from lambda_pipeline.cli.question_options import (
    OPERATORS,
    count_option,
    format_option,
    limit_option,
    max_age_option,
    read_filters,
    read_names,
    shown_limit,
    where_option,
)
from lambda_pipeline.cli.questions import describe_answer, print_answer
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving import Changes, ReadOptions
from lambda_pipeline.serving.export import FileFormat, StreamFormat, write


@click.command(epilog=OPERATORS)
@click.argument("view")
@where_option
@click.option("--columns", default="", metavar="A,B", help="Compare and show these columns; all by default.")
@count_option
@limit_option("Print at most N rows; all count.")
@format_option()
@max_age_option()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the rows to FILE.csv or FILE.parquet, and a manifest beside it, in place of printing them.",
)
def changes(
    view: str,
    *,
    where: Sequence[tuple[str, str, str]],
    columns: str,
    count: bool,
    limit: int | None,
    format_: StreamFormat,
    max_age: float | None,
    out: Path | None,
) -> None:
    """Show rows of VIEW that were added or removed since the published generation.

    An updated resource gives its old rows as removed and its new ones as added, under the same _id.

    \b
    lambda-pipeline changes patient_demographics
    lambda-pipeline changes observation_labs --where loinc_code eq 4548-4 --format csv
    """  # noqa: D301 (click wants the character \b)
    file_format = None if out is None else _format_of(out)
    if out is None:
        limit = shown_limit(count=count, limit=limit, format_=format_)
    with opened() as deployment:
        answer = deployment.serving.changes(
            view,
            where=read_filters(where),
            columns=read_names(columns),
            options=ReadOptions(limit=limit, freshness_target_s=max_age),
        )
        warn_of_broken_files(deployment, [view])
    click.echo(f"changes since {answer.since.isoformat(timespec='milliseconds')}", err=True)
    if out is None or file_format is None:
        print_answer(answer, count=count, format_=format_)
    else:
        _write(answer, out, file_format, count=count)


def _format_of(file: Path) -> FileFormat:
    for format_ in get_args(FileFormat):
        if file.suffix == f".{format_}":
            found: FileFormat = format_
            return found
    raise BadRequestError(
        "--out: the name of the file tells no format", hint=f"end it with .{' or .'.join(get_args(FileFormat))}"
    )


def _write(answer: Changes, file: Path, format_: FileFormat, *, count: bool) -> None:
    written = write(answer, file.parent, name=file.stem, format=format_)
    for line in describe_answer(answer):
        click.echo(line, err=True)
    click.echo(f"{len(answer.rows):,} rows are in {written}", err=True)
    if count:
        click.echo(str(answer.row_count))
