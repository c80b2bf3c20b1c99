"""Runs a history, and checks everything that is served after each of its steps."""

from lambda_pipeline_tests.model.checks import Checks, Tally
from lambda_pipeline_tests.model.clients import Clients
from lambda_pipeline_tests.model.faults import Faults
from lambda_pipeline_tests.model.hapi import LockedError
from lambda_pipeline_tests.model.product import Product
from lambda_pipeline_tests.model.steps import CLIENTS, History, Step
from lambda_pipeline_tests.model.world import World


class Machine:
    """One history over an emptied world.

    Args:
        world: the product.
        history: what happens.
        tally: counts it.
    """

    def __init__(self, world: World, history: History, tally: Tally) -> None:
        self.world = world
        self.history = history
        self.tally = tally
        self.checks = Checks(world, history.setup, tally)
        self.clients = Clients(world.hapi)
        self.product = Product(world, self.checks)
        self.faults = Faults(world, self.checks, self.product)
        self.actions = {**self.clients.actions(), **self.product.actions(), **self.faults.actions()}

    def run(self) -> None:
        """All steps.

        Raises:
            MismatchError: at the first thing that is wrong; a note tells the step.
        """
        self.world.reset(self.history.setup)
        self.tally.histories += 1
        try:
            for number, step in enumerate(self.history.steps, start=1):
                try:
                    self._step(step)
                    self._check(number, batch=step[0] not in CLIENTS or number % 3 == 0)
                except Exception as error:
                    error.add_note(f"at step {number}: {' '.join(map(str, step))}")
                    raise
            self._finish()
        finally:
            self.product.let_go(judged=False)

    def _step(self, step: Step) -> None:
        name, *arguments = step
        action = self.actions.get(str(name))
        if action is None:
            raise ValueError(f"there is no step {name}")
        try:
            done = action(*arguments)
        except LockedError:
            done = False
        self.tally.steps[str(name) if done is not False else "nothing to do"] += 1

    def _check(self, number: int = 0, *, batch: bool = True) -> None:
        served, self.product.served = self.product.served, None
        self.checks.answers(number, batch=batch, live=served)

    def _finish(self) -> None:
        """Whatever happened: once it is over, the next poll puts everything right by itself."""
        self.product.let_go(judged=True)
        self.world.mend()
        self.product.poll()
        self._check()
        self.checks.answer(self.world.observe("source"))
        for slot in list(self.world.hapi.open):
            self.world.hapi.rollback(slot)
        self.product.refresh()
        self.product.poll()
        self._check()
