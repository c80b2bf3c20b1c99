"""What the product does: one method for each step of a history, by its name; and calls of it that can be held up.

A method returns False when there was nothing to do.
"""

from lambda_pipeline.errors import LambdaPipelineError, RedisUnavailableError, RefreshError, SourceBusyError
from lambda_pipeline_tests.model.actor import Actor, step
from lambda_pipeline_tests.model.checks import Checks, require
from lambda_pipeline_tests.model.pausing import Task
from lambda_pipeline_tests.model.world import Observation, World

MOST_TASKS = 3


class Product(Actor):
    """All of it.

    Args:
        world: the product.
        checks: what must hold after each step.

    Attributes:
        tasks: calls that stand at a point.
        served: the live answer that the last step has looked at already.
    """

    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self.tasks: list[Task] = []
        self.served: Observation | None = None

    @step
    def poll(self) -> None:
        """A poll that nothing disturbs must work, whatever was before; and it repairs what was lost."""
        try:
            poll = self.world.poll()
        except RedisUnavailableError:
            require(self.world.in_trouble, "a poll failed though nothing was wrong")
            return
        if poll.waiting:
            require(self.checks.generation_number() == 0 or self.checks.swapped, f"a poll waits: {poll.waiting}")
            return
        self.checks.swapped = False
        if (not poll.over_budget or poll.count) and not self.world.evicting:
            self.checks.whole = True
            self.served = self.checks.poll(poll)

    @step
    def refresh(self, *, full: bool = False) -> None:
        before = self.checks.generation_number()
        try:
            generation = self.world.refresh(full=full)
        except (RefreshError, SourceBusyError) as error:
            # The other one may hold the lock of refreshes, or still that of the schema's tables.
            require(self.refreshing, f"a refresh failed though nothing was wrong: {error}")
            return
        require(generation.number > before, "a generation's number does not go up")
        require(self.checks.seen(generation.mark) == self.checks.commits, "a refresh lacks a commit")
        require(
            {view.view.digest for view in generation.views.values()} == {view.digest for view in self.world.views},
            "a refresh published other views than were deployed",
        )
        self.suspect("refresh")

    @step
    def rebuild(self) -> None:
        self.refresh(full=True)

    @step
    def prune(self) -> None:
        try:
            self.world.action("prune")()
        except RedisUnavailableError:
            require(self.world.in_trouble, "pruning failed though nothing was wrong")

    @step
    def deploy(self, number: int) -> None:
        self.world.deploy(number)

    @step
    def begin(self, kind: str, at: int) -> bool | None:
        """Begin a call and hold it up at one of its points."""
        if len(self.tasks) >= MOST_TASKS:
            return False
        task = Task(kind, self.world.action(kind), at)
        self.tasks.append(task)
        task.begin()
        self.judge(task)
        return None

    @step
    def resume(self, which: int, pause_after: int) -> bool | None:
        task = self.task(which)
        if task is None:
            return False
        task.resume(pause_after)
        self.judge(task)
        return None

    def task(self, which: int) -> Task | None:
        """One of the calls that are held up."""
        return self.tasks[which % len(self.tasks)] if self.tasks else None

    @property
    def refreshing(self) -> bool:
        """Whether a refresh is held up, so that another one may be refused."""
        return any(task.kind in ("refresh", "rebuild") for task in self.tasks)

    def judge(self, task: Task) -> None:
        """What became of a call that ended: whatever was done to it, only documented errors and right answers."""
        if not task.ended:
            return
        self.tasks.remove(task)
        if task.error is not None:
            documented = isinstance(task.error, LambdaPipelineError)
            require(documented, f"{task.kind} failed in an undocumented way: {task.error!r}", task.error)
            self.checks.tally.refusals[f"{task.kind}: {getattr(task.error, 'code', '')}"] += 1
        elif task.kind == "query":
            self.checks.answer(task.result)
        self.suspect(task.kind)

    def suspect(self, kind: str) -> None:
        """Until a poll has compared it with a new generation, the overlay may not be merged with that."""
        if kind in ("refresh", "rebuild"):
            self.checks.whole = False

    def let_go(self, *, judged: bool) -> None:
        """Have all calls that are held up come to their end."""
        for task in list(self.tasks):
            while not task.ended:
                task.resume()
            if judged:
                self.judge(task)
        self.tasks.clear()
