"""`parity`: compare served rows with a recompute, on request and after a `refresh`. See `operations/parity.py`."""

import logging
from collections.abc import Sequence
from typing import Literal

import click

from lambda_pipeline.cli.deployed import opened
from lambda_pipeline.console import render_values
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import AnswerRefusedError, ParityMismatchError
from lambda_pipeline.operations.parity import DEFAULT_SAMPLE, SERVED_MODES, Parity, ServedMode, check_parity
from lambda_pipeline.operations.parity_record import record_parity
from lambda_pipeline.settings import load_settings

logger = logging.getLogger(__name__)

BOTH: Literal["both"] = "both"


@click.command()
@click.option(
    "--mode",
    type=click.Choice((*SERVED_MODES, BOTH)),
    default=BOTH,
    show_default=True,
    help="live: batch and speed merged; batch: the generation alone; both: first one, then the other.",
)
@click.option("--all", "everything", is_flag=True, help="Compare every resource instead of a sample.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Resources per view and side (HAPI, batch, overlay); LAMBDA_PIPELINE_PARITY_SAMPLE by default.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**63 - 1),
    metavar="S",
    help="Selects the sample: the seed of an earlier check selects the same sample again.",
)
def parity(*, mode: ServedMode | Literal["both"], everything: bool, sample: int | None, seed: int | None) -> None:
    """Compare what is served with a recompute from HAPI's tables, resource by resource.

    Resources that changed after the moment of the served answer are left out. Resources that differ are named, and the
    command exits with 1; when a comparison cannot be made, it exits with 4.
    """
    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other")
    size = None if everything else sample or load_settings().parity_sample or DEFAULT_SAMPLE
    found: list[Parity] = []
    refusal: AnswerRefusedError | None = None
    with opened() as deployment:
        for served in SERVED_MODES if mode == BOTH else (mode,):
            try:
                found.append(check_parity(deployment.serving, served, sample=size, seed=seed))
                record_parity(deployment.serving, found[-1])
            except AnswerRefusedError as error:
                refusal = error
                break
    _print_parities(found)
    if count := sum(len(each.mismatches) for each in found):
        raise ParityMismatchError(f"{count:,} resources are served differently from their recompute")
    if refusal:
        raise refusal


def _print_parities(found: Sequence[Parity]) -> None:
    if found:
        click.echo(_parity_table(found))
    for each in found:
        as_of = each.valid_as_of.isoformat(timespec="milliseconds")
        click.echo(f"{each.mode}: valid as of {as_of}, from {' and '.join(each.sources)}, seed {each.seed}", err=True)
        for note in each.notes:
            click.echo(f"note: {note}", err=True)
        for key in each.undecided:
            click.echo(f"undecided: {key} differs in {each.mode}, and may have changed untracked since", err=True)
        for mismatch in each.mismatches:
            click.echo(f"{each.mode}: {mismatch}")


def check_refreshed(deployment: Deployment) -> None:
    """Compare a sample of both layers after a `refresh`, and log one line for each.

    A refused check of live answers is only a warning: where Redis is down, the refresh itself is complete.

    Raises:
        ParityMismatchError: resources differ; the generation stays published.
        LambdaPipelineError: the batch rows cannot be compared.
    """
    sample = deployment.settings.parity_sample
    if not sample:
        return
    differing: list[Parity] = []
    for mode in SERVED_MODES:
        try:
            found = check_parity(deployment.serving, mode, sample=sample)
            record_parity(deployment.serving, found)
        except AnswerRefusedError as error:
            if mode == "batch":
                raise
            logger.warning("parity of %s was not checked: %s", mode, error)
            continue
        logger.info("%s", found)
        differing += [found] if found.mismatches else []
    if differing:
        raise ParityMismatchError(
            "; ".join(map(str, differing)),
            hint="the generation is published; lambda-pipeline refresh --full builds all views from the source",
        )


def _parity_table(found: Sequence[Parity]) -> str:
    return render_values(
        ["mode", "view", "checked", "changed since", "undecided", "mismatches"],
        [
            (each.mode, name, view.checked, view.changed, len(view.undecided), len(view.mismatches))
            for each in found
            for name, view in sorted(each.views.items())
        ],
    )
