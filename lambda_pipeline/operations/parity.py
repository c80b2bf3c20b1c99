"""Parity: the served rows of some resources, or of all, against their recompute from HAPI's tables.

Both layers come from one compiler, so this should never find anything. It runs after every refresh all the same,
because an answer must not rest on "should". How rows are compared belongs in `comparison`.

Served rows hold at the frontier; a recompute can only give the present. So a resource is one of three:

- changed since, and a row shows it (`changes_since`): left out, and counted. Where polls are ranged between two sweeps,
  what they served since the last sweep holds on a condition, and is left out as well;
- changed since, without a trace: an expunged resource, a removed tag. Such a resource differs. It is not a mismatch if
  the recorded keys and fingerprints show that it was in another state then; it counts as undecided. In live mode it is
  compared again when the frontier has passed the first comparison, which decides it;
- not changed since: if it differs, it is a mismatch.

The records of the layers are not believed blindly. A generation that recorded more keys than there were resources has
kept some that were gone; then a resource that is served and does not exist is a mismatch. The argument:
docs/guarantees.md, "Parity".
"""

import random
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import psycopg

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.operations.comparison import Comparison, ParityRead
from lambda_pipeline.serving.read import OpenRead, open_batch, open_live
from lambda_pipeline.serving.service import Serving
from lambda_pipeline.serving.statement import query_failed

ServedMode = Literal["live", "batch"]
"""The modes whose rows are stored; `source` is the recompute itself."""

SERVED_MODES: tuple[ServedMode, ...] = ("batch", "live")

DEFAULT_SAMPLE = 200
"""If two resources in a hundred are wrong, 98 of a hundred checks find one of them."""

_NAMED = 20
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A resource whose served rows are not those of its recompute.

    Attributes:
        view: where.
        resource: its key, as in `Patient/123`.
        served: number of its rows that are served.
        recomputed: number of rows that it should have; 0 where the resource is gone.
    """

    view: str
    resource: str
    served: int
    recomputed: int

    def __str__(self) -> str:
        return f"{self.resource} in {self.view} ({self.served} rows served, {self.recomputed} recomputed)"


@dataclass(frozen=True, slots=True)
class ViewParity:
    """What was found for one view.

    Attributes:
        checked: resources compared.
        changed: resources left out because they changed after the frontier, or after the last sweep.
        undecided: keys of resources that differ, and may have changed after the frontier without a trace.
        mismatches: those that differ and had not changed.
    """

    checked: int
    changed: int
    undecided: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """What a parity check found. Nothing of a patient is in it but resource keys.

    Attributes:
        mode: `batch` or `live`.
        sample: resources chosen from each side, for each view; None for all.
        seed: chooses the same ones again from the same tables.
        valid_as_of: the frontier that was checked, in UTC.
        generation: number of the published generation.
        sources: what was served from.
        notes: on what conditions the served rows hold.
        views: by name.
        seconds: time it took.
    """

    mode: ServedMode
    sample: int | None
    seed: int
    valid_as_of: datetime
    generation: int
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    views: Mapping[str, ViewParity]
    seconds: float = 0.0

    @property
    def checked(self) -> int:
        """Resources compared, over all views."""
        return sum(view.checked for view in self.views.values())

    @property
    def changed(self) -> int:
        """Resources left out because they changed after the frontier, over all views."""
        return sum(view.changed for view in self.views.values())

    @property
    def undecided(self) -> tuple[str, ...]:
        """Keys of the undecided resources, over all views."""
        return tuple(sorted({key for view in self.views.values() for key in view.undecided}))

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """All mismatches, by view and resource."""
        return tuple(one for name in sorted(self.views) for one in self.views[name].mismatches)

    def __str__(self) -> str:
        """One line for logs and terminals: counts, and the first mismatches by key."""
        parts = [f"parity of {self.mode}: {self.checked:,} resources compared"]
        parts += [f"{self.changed:,} left out, changed since"] if self.changed else []
        parts += [f"{len(self.undecided):,} undecided"] if self.undecided else []
        found = self.mismatches
        named = ", ".join(map(str, found[:_NAMED])) + (f" and {len(found) - _NAMED:,} more" if found[_NAMED:] else "")
        parts += [f"{len(found):,} differ: {named}" if found else "no difference"]
        return f"{', '.join(parts)} (seed {self.seed})"


def check_parity(
    serving: Serving,
    mode: ServedMode,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int | None = None,
    views: Collection[str] | None = None,
    patience_s: float = 5.0,
) -> Parity:
    """Compare served rows with a recompute, resource by resource.

    Resources come from every side, so that rows of resources that are not there are found as well: HAPI's living
    resources, the keys of the view's table, the entries of the overlay.

    Args:
        serving: the layers.
        mode: `batch` or `live`.
        sample: how many resources of each side, for each view, chosen at random; None for all.
        seed: of the choice; a new one by default.
        views: names; all published ones by default.
        patience_s: how long to wait for the next poll to decide about live rows that differ without a trace.

    Raises:
        BadRequestError: another mode.
        AnswerRefusedError: there is nothing to compare, or the overlay has a gap that may not be closed.
        QueryFailedError: PostgreSQL ended the comparison.
    """
    if mode not in SERVED_MODES:
        raise BadRequestError(f"unknown mode {mode}", hint="batch or live: source is the recompute itself")
    began = time.monotonic()
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    generation = serving.generation()
    names = sorted(views if views is not None else generation.views if generation else ())
    try:
        with _open(serving, mode, names) as read:
            first = ParityRead.over(read, serving.overlay, serving.settings)
            found = {name: first.compare_some(each, sample, seed) for name, each in read.inputs.items()}
            facts = (read.frontier.taken_at, first.generation.number, read.sources, read.notes)
        if mode == "live" and any(each.differing for each in found.values()):
            found = _compare_again(serving, first, found, time.monotonic() + patience_s)
    except psycopg.Error as error:
        raise query_failed(error) from None
    result = {name: _judge(name, each) for name, each in found.items()}
    return Parity(mode, sample, seed, *facts, views=result, seconds=time.monotonic() - began)


def _open(serving: Serving, mode: ServedMode, names: Sequence[str]) -> AbstractContextManager[OpenRead]:
    if mode == "batch":
        return open_batch(serving.database, serving.settings, names, hold_source=True)
    overlay = serving.overlay if serving.settings.speed_layer else None
    return open_live(serving.database, overlay, serving.settings, names, freshness_target_s=None, hold_source=True)


def _compare_again(
    serving: Serving, first: ParityRead, found: Mapping[str, Comparison], deadline: float
) -> dict[str, Comparison]:
    """Compare once more what differed: a poll may have come in between, and a later frontier decides the undecided."""
    names = [name for name, each in found.items() if each.differing]
    undecided = any(one.untracked for each in found.values() for one in each.differing.values())
    while True:
        with _open(serving, "live", names) as read:
            second = ParityRead.over(read, serving.overlay, serving.settings)
            passed = first.mark.covered_by(second.since)
            if passed or not undecided or time.monotonic() >= deadline:
                again = {
                    name: second.compare(each, sorted(found[name].differing)) for name, each in read.inputs.items()
                }
                break
        time.sleep(_LOOK_AGAIN_S)
    return {
        **found,
        **{name: _decide(found[name], each, passed=passed) for name, each in again.items()},
    }


def _decide(before: Comparison, again: Comparison, *, passed: bool) -> Comparison:
    """What still differs. A state that the frontier has passed and that is the same as before is not a new one."""
    differing = {
        key: replace(one, untracked=one.untracked and not (passed and one.same_as(before.differing[key])))
        for key, one in again.differing.items()
    }
    return Comparison(before.checked - again.changed, before.changed + again.changed, differing)


def _judge(name: str, found: Comparison) -> ViewParity:
    ordered = [(key, found.differing[key]) for key in sorted(found.differing)]
    return ViewParity(
        checked=found.checked,
        changed=found.changed,
        undecided=tuple(str(key) for key, one in ordered if one.untracked),
        mismatches=tuple(
            Mismatch(name, str(key), one.served, one.recomputed) for key, one in ordered if not one.untracked
        ),
    )
