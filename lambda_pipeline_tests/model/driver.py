"""Draws histories with Hypothesis and runs them over one world, for the tests, the mutants and the soak alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as profile

from lambda_pipeline_tests.model.checks import Tally
from lambda_pipeline_tests.model.machine import Machine
from lambda_pipeline_tests.model.steps import History, histories
from lambda_pipeline_tests.model.world import World

SHRINK_S = 60.0
"""How long a failing history is made smaller."""


@dataclass(frozen=True, slots=True)
class Round:
    """Histories that are drawn together; equal rounds are equal histories.

    Attributes:
        kind: of the histories; see `steps.KINDS`.
        seed: of the choice.
        examples: how many.
        longest: steps a history has at most.
    """

    kind: str
    seed: int
    examples: int = 20
    longest: int = 24


class FailedError(Exception):
    """A history that failed, as small as it could be made."""

    def __init__(self, history: History, error: BaseException) -> None:
        notes = " ".join(getattr(error, "__notes__", ()))
        super().__init__(f"{type(error).__name__}: {error} ({notes})\n{history}")
        self.history = history


def explore(
    world: World, tally: Tally, chosen: Round, *, shrink: bool = True, over: Callable[[], bool] = lambda: False
) -> None:
    """Run the histories of a round.

    Args:
        world: the product.
        tally: counts what happens.
        chosen: the round.
        shrink: make a failing history smaller before it is reported.
        over: whether to stop.

    Raises:
        FailedError: one of them failed.
    """
    began: list[float] = []
    failed: list[tuple[History, BaseException]] = []

    @seed(chosen.seed)
    @profile(
        max_examples=chosen.examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(histories(chosen.kind, chosen.longest))
    def run(history: History) -> None:
        if not failed and over():
            return
        if failed and time.monotonic() > began[0] + SHRINK_S:
            if history == failed[-1][0]:
                raise failed[-1][1]
            return
        try:
            Machine(world, history, tally).run()
        except Exception as error:
            began.append(time.monotonic())
            failed.append((history, error))
            raise

    try:
        run()
    except Exception as error:
        if not failed:
            raise
        raise FailedError(*failed[-1]) from error
