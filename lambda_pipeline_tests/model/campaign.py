"""Many rounds of histories at once: one process, one PostgreSQL and one Valkey for each core."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from lambda_pipeline_tests.model.checks import Tally
from lambda_pipeline_tests.model.driver import FailedError, Round, explore
from lambda_pipeline_tests.model.servers import Servers, temporary_servers
from lambda_pipeline_tests.model.steps import KINDS
from lambda_pipeline_tests.model.world import World

CI: tuple[Round, ...] = tuple(
    Round(kind, seed)
    for kind, rounds in {
        "everything": 4, "interleaved": 3, "faults": 3, "oddities": 2, "late": 2, "views": 2, "bursts": 1, "stamps": 1,
        "plain": 1, "swaps": 1,
    }.items()
    for seed in range(1, rounds + 1)
)  # fmt: skip
"""What `make test-model` runs: 400 histories, always the same."""

SMOKE: tuple[Round, ...] = tuple(Round(kind, 1, examples=2, longest=12) for kind in KINDS)
"""What `make test` runs: a few short histories of each kind."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a round.

    Attributes:
        round: which.
        tally: what was tried.
        failure: the first history that failed and why, as a script; empty when none did.
    """

    round: Round
    tally: Tally
    failure: str


def campaign(rounds: Iterable[Round], *, workers: int | None = None, seconds: float | None = None) -> Iterator[Outcome]:
    """Run rounds, in this order, on as many processes as there are cores.

    Args:
        rounds: which; may be endless.
        workers: number of processes.
        seconds: when to stop, counted from when the servers are there; None for never.

    Yields:
        The outcome of each round as it ends.
    """
    count = workers or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    homes: SimpleQueue[Path] = context.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            homes.put(stack.enter_context(temporary_servers()).home)
        pool = stack.enter_context(ProcessPoolExecutor(count, context, initializer=_enter, initargs=(homes,)))
        until = None if seconds is None else time.time() + seconds
        waiting = iter(rounds)
        running: set[Future[Outcome]] = {pool.submit(_run, chosen, until) for chosen in islice(waiting, count)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            if until is None or time.time() < until:
                running |= {pool.submit(_run, chosen, until) for chosen in islice(waiting, len(ended))}
            yield from (future.result() for future in ended)


_home: Path


def _enter(homes: "SimpleQueue[Path]") -> None:
    global _home  # noqa: PLW0603 (an initializer has no other way to give something to its process)
    _home = homes.get()
    logging.disable(logging.ERROR)


def _run(chosen: Round, until: float | None) -> Outcome:
    return run_round(Servers(_home), chosen, over=lambda: until is not None and time.time() >= until)


def run_round(
    servers: Servers, chosen: Round, *, shrink: bool = True, over: Callable[[], bool] = lambda: False
) -> Outcome:
    """Run one round in a fresh database."""
    tally = Tally()
    with servers.database() as url:
        world = World(servers, url)
        try:
            explore(world, tally, chosen, shrink=shrink, over=over)
        except FailedError as failed:
            return Outcome(chosen, tally, str(failed))
        finally:
            world.close()
    return Outcome(chosen, tally, "")
