"""`query` and `sql`: ask a question, print the answer and what is known about it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lambda_pipeline.cli.deployed import opened, warn_of_broken_files
from lambda_pipeline.cli.queries import echo_queries
from lambda_pipeline.cli.question_options import (
    OPERATORS,
    answer_options,
    read_filters,
    read_names,
    shown_limit,
    where_option,
)
from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.queries import SavedQuery, ask_query, read_queries
from lambda_pipeline.queries.folder import read_text
from lambda_pipeline.queries.saved_query import NAME
from lambda_pipeline.queries.values import bind
from lambda_pipeline.serving import Answer, Mode, QuarantinedResource, ReadOptions
from lambda_pipeline.serving.export import StreamFormat, stream
from lambda_pipeline.settings import load_settings

SHOWN_QUARANTINED = 10


@click.command(epilog=OPERATORS)
@click.argument("view")
@where_option
@click.option("--columns", default="", metavar="A,B", help="Which columns, in which order; all by default.")
@answer_options
def query(
    view: str,
    *,
    where: Sequence[tuple[str, str, str]],
    columns: str,
    count: bool,
    limit: int | None,
    mode: Mode,
    format_: StreamFormat,
    max_age: float | None,
) -> None:
    """Ask for rows of VIEW.

    \b
    lambda-pipeline query patient_demographics --where gender eq male --count
    lambda-pipeline query observation_labs --where loinc_code eq 4548-4 --where value_quantity gt 6.5 --format csv
    """  # noqa: D301 (click wants the character \b)
    with opened() as deployment:
        answer = deployment.serving.query(
            view,
            where=read_filters(where),
            columns=read_names(columns),
            options=ReadOptions(
                mode=mode, limit=shown_limit(count=count, limit=limit, format_=format_), freshness_target_s=max_age
            ),
        )
        warn_of_broken_files(deployment, [view])
    print_answer(answer, count=count, format_=format_)


@click.command()
@click.argument("query", required=False, metavar="NAME|FILE")
@click.option("--list", "list_", is_flag=True, help="List the saved queries with their parameters, and ask nothing.")
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="Value of :NAME in the statement.")
@click.option(
    "--compare",
    is_flag=True,
    help="Also show what the batch layer alone would answer; not with --mode source.",
)
@answer_options
def sql(
    query: str | None,
    *,
    list_: bool,
    parameters: Sequence[str],
    compare: bool,
    count: bool,
    limit: int | None,
    mode: Mode,
    format_: StreamFormat,
    max_age: float | None,
) -> None:
    """Ask a saved query by its NAME, or the one SELECT in FILE, over the views by their names.

    FILE is - for standard input.

    \b
    lambda-pipeline sql male_diabetics --compare
    lambda-pipeline sql poorly_controlled_diabetes --param threshold=8
    lambda-pipeline sql my_question.sql
    echo "SELECT gender, count(*) FROM patient_simple GROUP BY 1" | lambda-pipeline sql -
    """  # noqa: D301 (click wants the character \b)
    if list_:
        echo_queries(read_queries(load_settings().queries))
        return
    if query is None:
        raise click.UsageError("name a saved query or a file; --list shows the saved queries")
    saved, values = _find_query(query), _parse_values(parameters)
    options = ReadOptions(
        mode=mode,
        limit=shown_limit(count=count, limit=limit, format_=format_),
        freshness_target_s=max_age,
        compare=compare,
    )
    # Checked here too, so that no server is started for a question that cannot be asked.
    bind(saved, values)
    with opened() as deployment:
        answer = ask_query(deployment.serving, saved, values, options=options)
    print_answer(answer, count=count, format_=format_)


def _find_query(word: str) -> SavedQuery:
    """The saved query of this name, or that in the file of this name."""
    if not NAME.fullmatch(word):
        return read_text(_read_statement(word), "stdin" if word == "-" else Path(word).name).require()
    folder = read_queries(load_settings().queries)
    saved = any(file.name == word for file in folder.files)
    if not Path(word).is_file():
        return folder.find(word)
    if saved:
        raise BadRequestError(
            f"{word} is a saved query and a file of this folder", hint=f"./{word} is the file; rename one of them"
        )
    return read_text(_read_statement(word), word).require()


def _read_statement(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        if _is_statement(file):
            raise BadRequestError(
                "FILE is the name of a file, and not a statement",
                hint='- reads standard input: echo "SELECT ..." | lambda-pipeline sql -',
            ) from None
        hint = "FILE is a file; use - for a statement on standard input" if isinstance(error, FileNotFoundError) else ""
        raise BadRequestError(f"{file[:80]!r} cannot be read: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise BadRequestError(f"{file} is not UTF-8") from None
    except ValueError:
        raise BadRequestError(f"{file[:80]!r} cannot be the name of a file") from None


def _is_statement(file: str) -> bool:
    first, *others = file.split(maxsplit=1) or [""]
    return first.lower() in {"select", "with", "values"} and bool(others)


def _parse_values(parameters: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for each in parameters:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise BadRequestError(f"--param {name or each}: no value", hint="write --param name=value")
        if name in values:
            raise BadRequestError(f"--param {name} is given twice")
        values[name] = value
    return values


def print_answer(answer: Answer, *, count: bool, format_: StreamFormat) -> None:
    """Print the rows of an answer, or their number, and on standard error what is known about it."""
    for line in describe_answer(answer):
        click.echo(line, err=True)
    if count:
        click.echo(str(answer.row_count))
    else:
        stream(answer, format_, sys.stdout)
        if len(answer.rows) < answer.row_count:
            click.echo(f"{len(answer.rows):,} of {answer.row_count:,} rows shown (--limit N)", err=True)


def describe_answer(answer: Answer) -> list[str]:
    """What is known about an answer, in lines for people."""
    as_of = answer.valid_as_of.isoformat(timespec="milliseconds")
    lines = [f"{answer.row_count:,} rows, valid as of {as_of}, from {' and '.join(answer.sources) or 'no view'}"]
    if (counts := answer.counts) is not None:
        lines.append(
            f"batch alone {counts.batch_count:,}; added {counts.added:,}, removed {counts.removed:,};"
            f" overlay {counts.speed_count:,} entries, {counts.overlap_count:,} of them over batch rows"
        )
    lines += [f"note: {note}" for note in answer.notes]
    return [*lines, *quarantine_lines(answer.quarantined)]


def quarantine_lines(quarantined: Sequence[QuarantinedResource]) -> list[str]:
    """Which resources are missing from an answer, in lines for people; none where none is."""
    if not quarantined:
        return []
    lines = [f"warning: {len(quarantined):,} resources are missing because they cannot be read:"]
    for one in quarantined[:SHOWN_QUARANTINED]:
        view = "" if one.reason.startswith(f"view {one.view}") else f" in {one.view}"
        lines.append(f"  {one.resource}{view}: {one.reason}")
    if len(quarantined) > SHOWN_QUARANTINED:
        lines.append(f"  and {len(quarantined) - SHOWN_QUARANTINED:,} more (lambda-pipeline status --json)")
    return lines
