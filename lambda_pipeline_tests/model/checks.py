"""What must hold: every answer is the oracle's at its frontier, or a refusal with a reason; and what goes with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_pipeline.errors import AnswerRefusedError, CoverageGapError, NoGenerationError
from lambda_pipeline.serving import Filter, Operator
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline.speed.poll import Poll
from lambda_pipeline_tests.model import definitions, oracle
from lambda_pipeline_tests.model.oracle import Rows
from lambda_pipeline_tests.model.steps import Setup
from lambda_pipeline_tests.model.world import Observation, World


class MismatchError(AssertionError):
    """The product said something that is not so, or did not do what it promises."""


@dataclass(slots=True)
class Tally:
    """What was tried.

    Attributes:
        histories: how many.
        steps: how often each kind of step did something.
        refusals: how often each was the answer, by code.
        answers: how many were compared, by source.
    """

    histories: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Count what another one counted as well."""
        self.histories += other.histories
        self.steps += other.steps
        self.refusals += other.refusals
        self.answers += other.answers


def require(holds: bool, what: str, cause: BaseException | None = None) -> None:
    """Raise MismatchError unless it holds."""
    if not holds:
        raise MismatchError(what) from cause


class Checks:
    """Everything that is checked during one history.

    Args:
        world: the product.
        setup: of the history.
        tally: counts what is compared and refused.

    Attributes:
        listed: no key was lost that tells which point reads there are; otherwise some stay until they expire.
        whole: nothing was lost or published since the last poll, so a live answer must come from the overlay.
        swapped: another table has the name of one of HAPI's, and no poll has built upon a generation of it yet.
    """

    def __init__(self, world: World, setup: Setup, tally: Tally) -> None:
        self.world = world
        self.setup = setup
        self.tally = tally
        self.whole = False
        self.listed = True
        self.swapped = False
        self._frontiers = {"overlay": 0, "batch": 0}
        self._published: list[str] = []
        self._expected: dict[tuple[int, int], tuple[Rows, set[str]]] = {}

    @property
    def commits(self) -> int:
        """How many transactions of HAPI are committed."""
        return len(self.world.hapi.server.commits)

    def seen(self, mark: SnapshotMark) -> int:
        """How many of them a snapshot sees."""
        return self.world.hapi.server.seen_by(mark.xmin, mark.xmax, mark.running)

    def generation_number(self) -> int:
        """Of the published generation; 0 before the first."""
        generation = self.world.serving.generation()
        return generation.number if generation else 0

    def answers(self, number: int, *, batch: bool, live: Observation | None = None) -> None:
        """Everything that can be asked.

        Args:
            number: of the step; some questions are asked only after every third or sixth.
            batch: whether to ask the batch layer too: always after steps of ours, now and then after those of clients.
            live: what was observed already.
        """
        if batch:
            generation = self.world.serving.generation()
            self._published = sorted(generation.views) if generation else []
        names = self._published or ["people"]
        for mode in ("live", "batch")[: 1 + batch]:
            try:
                observation = live if live and mode == "live" else self.world.observe(mode, names)
            except AnswerRefusedError as error:
                self.tally.refusals[error.code] += 1
                self._refusal(mode, error, there_is_one=bool(self._published))
                continue
            require(bool(self._published), "an answer without a generation")
            self.answer(observation)
            self._order(observation)
            if mode == "live" and number % 3 == 0:
                self._counts(observation, "people" if number % 2 else names[number // 6 % len(names)])
            if mode == "live" and number % 6 == 0 and observation.cohort is not None:
                self._comparison(observation)

    def answer(self, observation: Observation) -> None:
        """Rows, cohort and what is reported as missing, against the oracle at the frontier."""
        seen = self.seen(observation.frontier)
        self.tally.answers[observation.sources[-1].rstrip(" 0123456789")] += 1
        expected: dict[str, Rows] = {}
        unreadable: set[tuple[str, str]] = set()
        for name, digest in observation.digests.items():
            rows, missing = self._oracle(digest, seen)
            expected[name] = rows
            unreadable |= {(name, resource) for resource in missing}
        where = f"{observation.mode} at commit {seen} of {self.commits}, from {observation.sources}"
        for name, rows in observation.rows.items():
            require(
                rows == expected[name],
                f"{name} in {where}: missing {_shown(expected[name] - rows)}, wrong {_shown(rows - expected[name])}",
            )
        if observation.cohort is not None:
            wanted = oracle.cohort(expected, observation.columns)
            require(
                observation.cohort == wanted, f"cohort in {where}: {sorted(observation.cohort)} for {sorted(wanted)}"
            )
        require(
            observation.unreadable == unreadable,
            f"reported as unreadable in {where}: {sorted(observation.unreadable ^ unreadable)}",
        )

    def poll(self, poll: Poll) -> Observation:
        """After a poll that nothing disturbed: all that was committed is visible, whatever was lost before.

        Returns:
            What is served now.
        """
        assert poll.mark is not None
        require(self.seen(poll.mark) == self.commits, "a poll's mark does not see what was committed before it")
        served = self.world.observe("live")
        require(served.sources[1:] == ("overlay",), f"after a poll, rows came from {served.sources}")
        require(self.seen(served.frontier) == self.commits, "after a poll, the frontier lacks a commit")
        self._memory(served)
        return served

    def _memory(self, served: Observation) -> None:
        """Nothing is held that the generation covers; and point reads are of the frontier."""
        assert served.batch is not None
        keys = [key for key in self.world.stored_keys() if ":stage:" not in key]
        reading = self.world.overlay.read({})
        assert reading.state is not None
        covered = [seq for seq, mark in reading.polls if mark.covered_by(served.batch)]
        require(not covered, f"after a publication, entries of {len(covered)} polls are kept that it covers")
        points = [key for key in keys if key.startswith("fhir:")]
        if not reading.polls:
            left = set(keys) - {self.world.overlay.prefix + "state"} - set(() if self.listed else points)
            require(not left, f"after a publication, memory holds {', '.join(sorted(left))}")
        if self.listed:
            now = self.world.hapi.server.after(self.seen(reading.state.mark))
            for key in points:
                self._point(key, now)

    def _point(self, key: str, now: oracle.State) -> None:
        _, kind, logical_id = key.split(":")
        envelope = point_read(self.world.overlay, kind, logical_id)
        resource = now.get((kind, logical_id))
        require(
            envelope is not None
            and envelope["deleted"] == (resource is None or resource.deleted)
            and (resource is None or envelope["version"] == resource.version),
            f"point read of {kind}/{logical_id} is not of the frontier",
        )

    def _refusal(self, mode: str, error: AnswerRefusedError, *, there_is_one: bool) -> None:
        if not there_is_one:
            require(isinstance(error, NoGenerationError), f"no generation: {error}")
            return
        may = mode == "live" and isinstance(error, CoverageGapError)
        few = self.setup.read_source and self.setup.budget > 1000 and not self.swapped
        require(may and not few, f"refused without a reason: {error}")
        require(self.world.in_trouble or not self.whole, f"refused though the overlay was whole: {error}")

    def _order(self, observation: Observation) -> None:
        """Frontiers never go back. (One read from the source may be ahead of the overlay.)"""
        seen = self.seen(observation.frontier)
        if observation.mode == "live" and self.whole and not self.world.in_trouble:
            require("overlay" in observation.sources, f"the overlay is whole, rows came from {observation.sources}")
        layer = "batch" if observation.mode == "batch" else "overlay"
        if layer in (observation.mode, observation.sources[-1]):
            require(seen >= self._frontiers[layer], f"the frontier of {layer} went back")
            self._frontiers[layer] = seen

    def _counts(self, observation: Observation, view: str) -> None:
        """One view through the public interface, filtered where it has something to filter by."""
        where = [Filter("gender", Operator.EQ, "male")] if view == "people" else []
        answer = self.world.serving.query(view, where=where)
        if answer.sources != observation.sources:
            return  # evicted in between: it has another frontier
        now, before = self._now_and_before(observation, view)
        if where:
            now, before = (Counter({row: n for row, n in of.items() if row[1] == "male"}) for of in (now, before))
        counts = answer.counts
        assert counts is not None
        require(
            (answer.row_count, counts.batch_count, counts.added, counts.removed)
            == (now.total(), before.total(), (now - before).total(), (before - now).total()),
            f"counts of {view}: {counts}",
        )
        require(len(answer.frame) == now.total(), f"rows of {view}: {len(answer.frame)}")

    def _comparison(self, observation: Observation) -> None:
        """The cohort as an analyst asks for it, with what batch alone would say."""
        answer = self.world.serving.select(definitions.COHORT, compare=True)
        if answer.sources != observation.sources:
            return
        both = {view: self._now_and_before(observation, view) for view in definitions.COHORT_VIEWS}
        now, before = (
            oracle.cohort({view: rows[which] for view, rows in both.items()}, observation.columns) for which in (0, 1)
        )
        counts = answer.counts
        assert counts is not None
        require(set(answer.frame["id"]) == now, f"cohort by SQL: {sorted(answer.frame['id'])} for {sorted(now)}")
        require(
            (counts.total, counts.batch_count, counts.added, counts.removed)
            == (len(now), len(before), len(now - before), len(before - now)),
            f"counts of the cohort: {counts}",
        )

    def _now_and_before(self, observation: Observation, view: str) -> tuple[Rows, Rows]:
        """What a view must contain at the frontier, and at the generation."""
        assert observation.batch is not None
        digest = observation.digests[view]
        now, _ = self._oracle(digest, self.seen(observation.frontier))
        before, _ = self._oracle(digest, self.seen(observation.batch))
        return now, before

    def _oracle(self, digest: str, seen: int) -> tuple[Rows, set[str]]:
        definition = self.world.by_digest[digest]
        key = (id(definition), seen)
        if key not in self._expected:
            self._expected[key] = oracle.rows_of(definition, self.world.hapi.server.after(seen))
        return self._expected[key]


def _shown(rows: Mapping[Any, int]) -> str:
    return ", ".join(f"{row} x{count}" for row, count in sorted(rows.items(), key=str)) or "nothing"
