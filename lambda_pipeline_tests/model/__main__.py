"""The soak: random histories for as long as asked; `replay FILE` runs one that failed again.

    python -m lambda_pipeline_tests.model soak --minutes 30 --seed 7
    python -m lambda_pipeline_tests.model replay FILE
    python -m lambda_pipeline_tests.model hunt HOME KIND...

`hunt` runs the tests' rounds of these kinds first, then the others, on servers that run already, until one fails.
"""

import itertools
import logging
import random
import re
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from lambda_pipeline_tests.model.campaign import CI, campaign, run_round
from lambda_pipeline_tests.model.checks import Tally
from lambda_pipeline_tests.model.driver import Round
from lambda_pipeline_tests.model.machine import Machine
from lambda_pipeline_tests.model.servers import Servers, temporary_servers
from lambda_pipeline_tests.model.steps import KINDS, History
from lambda_pipeline_tests.model.world import World

CAUGHT, SURVIVED, BROKEN = 10, 0, 11
"""Exit codes of `hunt`: a history failed, none did, or the mistake is not a program that could run."""

NOT_A_PROGRAM = re.compile(r"\b(AttributeError|NameError|UnboundLocalError|ImportError|SyntaxError)\b")
"""How a mistake fails that names something the product no longer has: any history notices it, which proves nothing."""


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    logging.disable(logging.ERROR)


@main.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--seed", type=int, help="Of the choice of histories; a new one by default.")
@click.option("--workers", type=int, help="Processes, each with servers of its own; one for each core by default.")
def soak(minutes: float, seed: int | None, workers: int | None) -> None:
    """Run random histories and print what was tried; exit code 1 if any of them failed."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    began = time.time()
    click.echo(f"soak: {minutes:g} minutes, seed {seed}", err=True)
    kinds = [kind for kind in KINDS for _ in range(4 if kind == "everything" else 1)]
    rounds = (Round(kind, seed * 1_000_000 + n) for n, kind in enumerate(itertools.cycle(kinds)))
    total, failures = Tally(), 0
    shown = began
    for outcome in campaign(rounds, workers=workers, seconds=minutes * 60):
        total.add(outcome.tally)
        if outcome.failure:
            failures += 1
            click.echo(f"\nFAILED: {outcome.round}\n{outcome.failure}")
        if time.time() > shown + 10:
            shown = time.time()
            passed = shown - began
            rate = total.histories / passed * 3600
            left = max(0.0, minutes * 60 - passed)
            line = f"{total.histories:,} histories, {rate:,.0f} an hour, {failures} failed, about {left:.0f} s left"
            click.echo(f"soak: {line}", err=True)
    report(total, failures, time.time() - began, seed)
    sys.exit(1 if failures else 0)


def report(total: Tally, failures: int, seconds: float, seed: int) -> None:
    """Print what a soak did."""
    click.echo(f"seed        {seed}")
    click.echo(f"histories   {total.histories:,} in {seconds:,.0f} s ({total.histories / seconds * 3600:,.0f} an hour)")
    click.echo(f"failed      {failures}")
    for title, counter in (("steps", total.steps), ("answers", total.answers), ("refusals", total.refusals)):
        click.echo(f"{title} ({counter.total():,})")
        for name, count in counter.most_common():
            click.echo(f"  {count:>9,}  {name}")


@main.command()
@click.argument("file", type=click.File())
def replay(file: TextIO) -> None:
    """Run one history, as it was printed when it failed."""
    history = History.parse(file.read())
    with temporary_servers() as servers, servers.database() as url:
        world = World(servers, url)
        try:
            Machine(world, history, Tally()).run()
        finally:
            world.close()
    click.echo("this history does not fail")


@main.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("kinds", nargs=-1)
def hunt(home: Path, kinds: tuple[str, ...]) -> None:
    """Run the tests' rounds until one fails: code 10 when one did, 0 when none, 11 when the mistake cannot run."""
    first = sorted(CI, key=lambda chosen: (chosen.seed, kinds.index(chosen.kind)) if chosen.kind in kinds else (99, 0))
    histories = 0
    for chosen in first:
        outcome = run_round(Servers(home), chosen, shrink=False)
        histories += outcome.tally.histories
        if outcome.failure:
            broken = NOT_A_PROGRAM.search(outcome.failure)
            click.echo(f"{'broken' if broken else 'caught'} by history {histories}, {chosen}\n{outcome.failure}")
            sys.exit(BROKEN if broken else CAUGHT)
    click.echo(f"survived {histories} histories")
    sys.exit(SURVIVED)


if __name__ == "__main__":
    main()
