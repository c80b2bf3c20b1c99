"""Who carries out the steps of a history: classes whose methods are registered under the names of the steps."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

Action = Callable[..., bool | None]
"""Carries out one step with its arguments; returns False when there was nothing to do."""


def step(method: Any) -> Any:
    """Register a method of an `Actor` as the step of its name."""
    method.is_step = True
    return method


class Actor:
    """Carries out some of the steps.

    Attributes:
        steps: the methods that are steps, by name.
    """

    steps: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def __init_subclass__(cls) -> None:
        cls.steps = {name: method for name, method in vars(cls).items() if getattr(method, "is_step", False)}

    def actions(self) -> dict[str, Action]:
        """The steps of this actor, bound to it."""
        return {name: method.__get__(self) for name, method in self.steps.items()}
