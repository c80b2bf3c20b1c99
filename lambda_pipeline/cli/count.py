"""`count`: rows of a view by group, without SQL."""

import sys
from collections.abc import Sequence
from datetime import datetime

import click

from lambda_pipeline.cli.deployed import opened, warn_of_broken_files
from lambda_pipeline.cli.question_options import (
    OPERATORS,
    format_option,
    limit_option,
    max_age_option,
    mode_option,
    read_filters,
    where_option,
)
from lambda_pipeline.cli.questions import describe_answer
from lambda_pipeline.cohorts import GroupCounts
from lambda_pipeline.cohorts.counts import shown
from lambda_pipeline.cohorts.groups import AGE_BANDS
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving import Mode, ReadOptions
from lambda_pipeline.serving.export import StreamFormat, stream


@click.command(epilog=OPERATORS)
@click.argument("view")
@click.option(
    "--by", multiple=True, required=True, metavar="COLUMN[:PART]", help="A column; of a date also :year, :month, :age."
)
@where_option
@click.option("--age-bands", default=",".join(map(str, AGE_BANDS)), show_default=True, metavar="A,B", help="For :age.")
@click.option("--age-at", type=click.DateTime(["%Y-%m-%d"]), help="For :age, the day; today in UTC by default.")
@limit_option("Print at most N groups; all count.")
@mode_option
@format_option("groups")
@max_age_option()
def count(
    view: str,
    *,
    by: Sequence[str],
    where: Sequence[tuple[str, str, str]],
    age_bands: str,
    age_at: datetime | None,
    limit: int | None,
    mode: Mode,
    format_: StreamFormat,
    max_age: float | None,
) -> None:
    """Count rows of VIEW by the values of columns.

    \b
    lambda-pipeline count patient_demographics --by gender --by birth_date:age
    lambda-pipeline count observation_labs --by effective_date_time:month --where loinc_code eq 4548-4
    """  # noqa: D301 (click wants the character \b)
    bands = _bands(age_bands)
    with opened() as deployment:
        answer = deployment.count_by(
            view,
            by,
            where=read_filters(where),
            age_bands=bands,
            age_at=None if age_at is None else age_at.date(),
            options=ReadOptions(mode=mode, limit=limit, freshness_target_s=max_age),
        )
        warn_of_broken_files(deployment, [view])
    for line in describe_counts(answer):
        click.echo(line, err=True)
    stream(answer, format_, sys.stdout)
    if len(answer.rows) < answer.row_count:
        click.echo(f"{len(answer.rows):,} of {answer.row_count:,} groups shown (--limit N)", err=True)


def describe_counts(answer: GroupCounts) -> list[str]:
    """What is known about an answer, in lines for people."""
    return [
        f"{shown(answer.total)} rows counted, in the groups that are the rows of this answer:",
        *describe_answer(answer),
    ]


def _bands(text: str) -> list[int]:
    try:
        return [int(bound) for bound in text.split(",")] if text else []
    except ValueError:
        raise BadRequestError("--age-bands: whole years, separated by commas", hint="18,45,65") from None
