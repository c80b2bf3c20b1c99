"""`ask` and `cohorts`: ask a cohort definition, and what its author works with."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.bar import Bar
from rich.console import Console

from lambda_pipeline.cli.deployed import opened, warn_of_broken_files
from lambda_pipeline.cli.question_options import max_age_option, mode_option
from lambda_pipeline.cli.questions import quarantine_lines
from lambda_pipeline.cohorts import CohortAnswer, read_cohort, show
from lambda_pipeline.cohorts import ask as ask_cohort
from lambda_pipeline.cohorts.code_sets import code_set_names, read_code_set
from lambda_pipeline.cohorts.counts import Count, shown
from lambda_pipeline.cohorts.jsonschema import json_schema_text
from lambda_pipeline.cohorts.lint import lint_cohort, read_code_sets, views_of
from lambda_pipeline.cohorts.question import Question
from lambda_pipeline.console import render
from lambda_pipeline.errors import BadRequestError, CohortDefinitionError
from lambda_pipeline.serving import Mode, ReadOptions
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import read_views

BAR_WIDTH = 30
Definition = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.argument("file", type=Definition)
@mode_option
@max_age_option("--freshness", "--max-age", "freshness")
@click.option(
    "--persons",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the ids of the persons to FILE, as CSV that only its owner can read.",
)
@click.option("--show-sql", is_flag=True, help="Print the statement and its parameters, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print all counts as JSON.")
def ask(
    file: Path, *, mode: Mode, freshness: float | None, persons: Path | None, show_sql: bool, as_json: bool
) -> None:
    """Count the persons that the cohort definition in FILE finds.

    \b
    lambda-pipeline ask sql/cohorts/uncontrolled_diabetes.yaml
    """  # noqa: D301 (click wants the character \b)
    cohort = read_cohort(file)
    with opened() as deployment:
        if show_sql:
            click.echo(_describe_statement(show(deployment.serving, cohort)))
            return
        options = ReadOptions(mode=mode, freshness_target_s=freshness)
        answer = ask_cohort(deployment.serving, cohort, persons=persons is not None, options=options)
        warn_of_broken_files(deployment, views_of(cohort))
    if persons is not None:
        _write_persons(answer.person_ids or (), persons)
    for line in describe(answer):
        click.echo(line, err=True)
    click.echo(json.dumps(answer.summary(), ensure_ascii=False, indent=2) if as_json else draw(answer))


@click.group()
def cohorts() -> None:
    """Check cohort definitions, and show what they may contain."""


@cohorts.command("lint")
@click.argument("files", nargs=-1, required=True, type=Definition)
@click.pass_context
def lint_files(ctx: click.Context, files: Sequence[Path]) -> None:
    """List every problem of the definitions in FILES, each with its place, over the views as their files define them.

    Exits with 1 if there is a problem that would stop the question.
    """
    settings = load_settings()
    views = {view.name: view for view in read_views(settings.view_definitions).views}
    problems = 0
    for file in files:
        try:
            cohort = read_cohort(file)
            code_sets = read_code_sets(cohort, settings.code_sets)
            findings = lint_cohort(cohort, views, code_sets, settings.code_sets)
        except CohortDefinitionError as error:
            findings = list(error.findings)
        for finding in findings:
            click.echo(f"{file}: {'warning: ' if finding.warning else ''}{finding}", err=finding.warning)
        problems += sum(not finding.warning for finding in findings)
    click.echo(f"{len(files)} files, {problems} problems", err=True)
    if problems:
        ctx.exit(1)


@cohorts.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of cohort definitions."""
    click.echo(json_schema_text(), nl=False)


@cohorts.command("code-sets")
def list_code_sets() -> None:
    """List the code sets with what a definition states of them: name and SHA-256."""
    folder = load_settings().code_sets
    found = [read_code_set(folder, name) for name in code_set_names(folder)]
    rows = [[each.name, each.version, f"{len(each.codes):,}", each.sha256, each.system] for each in found]
    click.echo(render(["name", "version", "codes", "sha256", "system"], rows, right={2}, cell_width=64))


def describe(answer: CohortAnswer) -> list[str]:
    """What is known about an answer, in lines for people."""
    as_of = answer.valid_as_of.isoformat(timespec="milliseconds")
    return [
        f"{shown(answer.persons)} persons, valid as of {as_of}, from {' and '.join(answer.sources)}",
        *(f"left out: {each}" for each in answer.left_out),
        *(f"note: {note}" for note in answer.notes),
        *quarantine_lines(answer.quarantined),
    ]


def draw(answer: CohortAnswer) -> str:
    """The attrition as a bar chart, and the breakdown as a table."""
    largest = max((step.remaining for step in answer.attrition if isinstance(step.remaining, int)), default=0)
    steps = [
        [step.name, _bar(step.remaining, largest), *map(shown, (step.remaining, step.lost, step.excluded_alone))]
        for step in answer.attrition
    ]
    titles = ["rule", "", "remaining", "lost", "excluded alone"]
    chart = render(titles, steps, right={2, 3, 4}, cell_width=60)
    cells = [[cell.sex, cell.age_band or "", shown(cell.persons)] for cell in answer.breakdown]
    table = render(["sex", "age", "persons"], cells, right={2})
    return f"{answer.name}: {shown(answer.persons)} persons\n\n{chart}" + (f"\n\n{table}" if cells else "")


def _bar(count: Count, largest: int) -> str:
    if not isinstance(count, int) or not largest:
        return ""
    out = io.StringIO()
    console = Console(file=out, width=BAR_WIDTH, color_system=None, legacy_windows=False)
    console.print(Bar(largest, 0, count, width=BAR_WIDTH), end="")
    return out.getvalue().strip()


def _describe_statement(question: Question) -> str:
    values = [
        f"-- :{name} = {json.dumps(value, default=str, ensure_ascii=False)}"
        for name, value in question.parameters.items()
    ]
    return "\n".join([*values, question.text])


def _write_persons(ids: Sequence[str], path: Path) -> None:
    """The ids as CSV; the file appears whole or not at all."""
    try:
        # mkstemp makes the file with mode 600, in the same folder so that the rename is one step.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["person_id"])
                writer.writerows([each] for each in ids)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadRequestError(f"{path.name[:80]!r} cannot be written: {error.strerror}") from None
