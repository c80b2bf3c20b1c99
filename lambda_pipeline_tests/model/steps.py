"""A history: how it is set up, and its steps; how they are drawn, written down and read again.

A step is a name and small arguments. Arguments name things by number, and a step that finds nothing to do does nothing:
so any part of a history is a history, which is what makes a failing one easy to shrink.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from hypothesis import strategies as st

Step = tuple[str | int, ...]
"""Name and arguments."""

PLACES = ("now", "now", "now", "fast", "slow", "late", "later")
"""When a request is made: at once by a server whose clock is right, ten minutes ahead or behind; or within one of the
transactions that were opened before (at once where there is none)."""

LATE_PLACES = ("now", "now", "late", "late", "later")
"""The same for histories about late commits."""

TYPES = ("Patient", "Condition", "Observation")


@dataclass(frozen=True, slots=True)
class Setup:
    """Settings of one history.

    Attributes:
        page_rows: resources a poll flattens in one statement.
        chunk_rows: the same for a build.
        read_source: whether a gap may be closed from the source.
        budget: entries the overlay may hold.
        ranged: polls narrow their scan by HAPI's stamps.
    """

    page_rows: int = 100
    chunk_rows: int = 100
    read_source: bool = True
    budget: int = 100_000
    ranged: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """A whole history."""

    setup: Setup
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = " ".join(f"{name}={value}" for name, value in asdict(self.setup).items())
        return "\n".join([f"setup {head}", *(" ".join(map(str, step)) for step in self.steps)]) + "\n"

    @classmethod
    def parse(cls, text: str) -> "History":
        """The inverse of `str(history)`; `#` begins a comment."""
        lines = [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]
        given = dict(word.split("=", 1) for word in lines[0][1:])
        values = {field.name: _read(given[field.name]) for field in fields(Setup) if field.name in given}
        return cls(Setup(**values), tuple(tuple(map(_read, words)) for words in lines[1:]))


def _read(word: str) -> Any:
    if word in ("True", "False"):
        return word == "True"
    return int(word) if word.removeprefix("-").isdecimal() else word


# Most of what goes wrong needs several changes of one resource, so a few of them get most of the changes.
_number = st.sampled_from((0, 0, 0, 0, 1, 1, 2, 3, 4, 5))
_shape = st.one_of(st.integers(0, 7), st.integers(0, 95))
_kind = st.sampled_from((*TYPES, "Patient", "Patient"))
_place = st.sampled_from(PLACES)
_tagged = st.sampled_from(("Observation", "Observation", "Observation", "Patient"))
_tag = st.sampled_from((0, 0, 1, 2))
_slot = st.sampled_from(("late", "later"))
_at = st.one_of(st.integers(1, 12), st.integers(1, 70), st.integers(1, 400))

ARGUMENTS: Mapping[str, Sequence[st.SearchStrategy[Any]]] = {
    # What clients of HAPI do.
    "populate": (st.integers(1, 5),),
    "put": (_kind, _number, _shape, _place),
    "same": (_kind, _number, _place),
    "delete": (_kind, _number, _place),
    "merge": (_number, _number, _place),
    "toggle": (_kind, _number, _place),
    "names": (_number, st.integers(0, 4), _place),
    "bulk": (_kind, st.sampled_from((4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 30, 30, 30, 300)), _shape, _place),
    "replace": (_kind, _number, _shape, _place),
    "lose_version": (_kind, _number, _place),
    "bare_delete": (_kind, _number, _place),
    "raw": (_kind, _number, st.sampled_from((0, 1, 2, 3, 4, 5, 6, 7, 7, 7)), _place),
    "rewrite": (_kind, _number, st.integers(0, 3), _shape, _place),
    "expunge": (_kind, _number, st.integers(0, 1), _place),
    "tag": (_tagged, _number, _tag, _place),
    "untag": (_tagged, _number, _tag, _place),
    "history": (st.integers(0, 1),),
    "open": (_slot, st.integers(0, 10)),
    "commit": (_slot,),
    "rollback": (_slot,),
    # What we do.
    "poll": (),
    "refresh": (),
    "rebuild": (),
    "prune": (),
    "deploy": (st.integers(0, 4),),
    "begin": (st.sampled_from(("poll", "poll", "refresh", "query", "query", "prune", "rebuild")), _at),
    "resume": (st.integers(0, 2), st.one_of(st.just(0), st.integers(1, 60))),
    # What goes wrong.
    "fail": (st.integers(0, 2),),
    "cut": (st.integers(0, 2),),
    "cut_all": (),
    "kill": (st.sampled_from(("poll", "refresh", "rebuild", "prune")), _at),
    "broken_refresh": (),
    "flush": (),
    "drop_state": (),
    "drop_key": (st.integers(0, 12),),
    "drop_type": (_kind,),
    "drop_entry": (st.integers(0, 5), st.integers(0, 8)),
    "restart": (st.integers(0, 1),),
    "evict": (st.integers(0, 1),),
    "full": (st.integers(0, 1),),
    "slow": (st.integers(0, 2),),
    "down": (st.integers(0, 1),),
    "swap": (_kind, _number, _shape, st.sampled_from(("poll", "refresh"))),
}


@st.composite
def _late_commit(draw: st.DrawFn) -> list[Step]:
    """A transaction is open while a later one ends and somebody looks; then it commits, and somebody looks again."""
    kind, number, other, shape = draw(_kind), draw(_number), draw(st.integers(6, 7)), draw(_shape)
    at = draw(st.integers(10, 90))
    looks: tuple[list[Step], list[Step]] = draw(
        st.sampled_from((
            ([("poll",)], [("poll",)]),
            ([("refresh",)], [("poll",)]),
            ([("refresh",)], [("refresh",)]),
            ([("begin", "refresh", at)], [("poll",), ("resume", 0, 0)]),
        ))
    )  # fmt: skip
    begun: list[Step] = [("open", "late", 0), ("put", kind, number, shape, "late"), ("put", kind, other, shape, "now")]
    return [*begun, *looks[0], ("commit", "late"), *looks[1]]


@st.composite
def _again(draw: st.DrawFn) -> list[Step]:
    """A resource that was just captured changes again before a refresh."""
    kind, number = draw(_kind), draw(_number)
    changes: list[Step] = [("put", kind, number, draw(_shape), "now"), ("put", kind, number, draw(_shape), "now")]
    return [changes[0], ("poll",), changes[1], draw(st.sampled_from((("refresh",), ("rebuild",))))]


@st.composite
def _overtaken(draw: st.DrawFn) -> list[Step]:
    """A call is held up while a resource changes and another poll or refresh does its work."""
    held = draw(st.sampled_from(("poll", "poll", "refresh", "query", "prune")))
    change: Step = ("put", draw(_kind), draw(_number), draw(_shape), "now")
    other = draw(st.sampled_from((("poll",), ("poll",), ("refresh",))))
    return [("begin", held, draw(st.integers(6, 70))), change, other, ("resume", 0, 0)]


@st.composite
def _hurt(draw: st.DrawFn) -> list[Step]:
    """A call is hurt while it is held up, and goes on."""
    held = draw(st.sampled_from(("poll", "refresh", "rebuild", "query", "prune")))
    fault: Step = draw(st.sampled_from((("fail", 0), ("cut", 0), ("slow", 0))))
    change: Step = ("put", draw(_kind), draw(_number), draw(_shape), "now")
    return [change, ("begin", held, draw(st.integers(2, 70))), fault, ("resume", 0, 0)]


@st.composite
def _gone(draw: st.DrawFn) -> list[Step]:
    """A resource that a refresh has just taken in is gone without a trace: before the next one, or during it."""
    kind, number = draw(_kind), draw(st.integers(3, 9))
    looks = st.sampled_from((("poll",), ("refresh",)))
    made: Step = ("put", kind, number, draw(_shape), "now")
    gone: Step = ("expunge", kind, number, 1, "now")
    before_next: list[Step] = [("refresh",), draw(looks), gone, draw(looks)]
    held: Step = ("begin", "refresh", draw(st.integers(10, 90)))
    during: list[Step] = [held, gone, ("poll",), ("resume", 0, 0), ("poll",)]
    return [made, *draw(st.sampled_from((before_next, during)))]


@st.composite
def _untagged(draw: st.DrawFn) -> list[Step]:
    """A tag that a refresh has taken in goes without a trace before the next one."""
    kind, number, tag = draw(_tagged), draw(_number), draw(_tag)
    made: list[Step] = [("put", kind, number, draw(_shape), "now"), ("tag", kind, number, tag, "now")]
    return [*made, ("refresh",), ("untag", kind, number, tag, "now"), ("refresh",)]


@st.composite
def _swapped(draw: st.DrawFn) -> list[Step]:
    """A table that a generation has seen takes the name of HAPI's, and the overlay made from the other is lost."""
    kind, number, shape = draw(_kind), draw(_number), draw(st.integers(0, 3))
    made: Step = ("put", kind, number, shape, "now")
    lost: Step = draw(st.sampled_from((("flush",), ("drop_state",))))
    return [made, ("swap", kind, number, shape + 1, "refresh"), lost]


MOTIFS: Mapping[str, st.SearchStrategy[list[Step]]] = {
    "late_commit": _late_commit(),
    "again": _again(),
    "overtaken": _overtaken(),
    "hurt": _hurt(),
    "gone": _gone(),
    "untagged": _untagged(),
    "swapped": _swapped(),
}
"""Steps in an order that chance alone seldom brings about."""

_CLIENTS = {
    "put": 6, "delete": 3, "merge": 2, "toggle": 4, "names": 4, "replace": 2, "same": 1, "bulk": 1,
}  # fmt: skip
_ODDITIES = {
    "lose_version": 2, "bare_delete": 1, "raw": 2, "rewrite": 1, "expunge": 2, "tag": 2, "untag": 2, "history": 1,
}  # fmt: skip
_LATE = {"open": 3, "commit": 3, "rollback": 1}
_OURS = {"poll": 7, "refresh": 4, "rebuild": 1, "prune": 1}
_PAUSES = {"begin": 5, "resume": 4}
_FAULTS = {
    "fail": 1, "cut": 1, "cut_all": 1, "kill": 3, "broken_refresh": 1, "flush": 1, "drop_state": 1, "drop_key": 2,
    "drop_type": 1, "drop_entry": 1, "evict": 1, "full": 1, "slow": 1, "down": 1, "swap": 1,
}  # fmt: skip

CLIENTS = frozenset(_CLIENTS | _ODDITIES | _LATE | {"populate": 1})
"""Steps of HAPI's clients, which can change nothing that a generation holds."""

KINDS: Mapping[str, Mapping[str, int]] = {
    "everything": _CLIENTS | _ODDITIES | _LATE | _OURS | _PAUSES | _FAULTS | {"deploy": 1} | dict.fromkeys(MOTIFS, 1),
    "plain": _CLIENTS | _OURS | {"again": 3},
    "oddities": _CLIENTS | _ODDITIES | _OURS | {"raw": 3, "tag": 4, "untag": 4, "gone": 4, "untagged": 4},
    "late": {"put": 5, "delete": 1, "toggle": 3, "open": 4, "commit": 4, "rollback": 1, "late_commit": 4} | _OURS,
    "interleaved": {"put": 3, "delete": 1, "toggle": 2, "names": 1, "overtaken": 6} | _OURS | _PAUSES,
    "faults": {"put": 3, "delete": 1, "toggle": 2, "names": 1} | _OURS | _FAULTS | {"restart": 1, "hurt": 3},
    "views": {"put": 3, "delete": 1, "toggle": 1, "deploy": 4, "tag": 1, "flush": 1, "drop_state": 1} | _OURS | _PAUSES,
    "stamps": {"put": 4, "delete": 2, "toggle": 3, "names": 2, "replace": 1, "open": 2, "commit": 3, "rollback": 1}
    | _OURS,
    "swaps": {"put": 3, "delete": 1, "toggle": 2, "swap": 5, "swapped": 3, "flush": 1, "drop_state": 1} | _OURS,
    "bursts": {"bulk": 6, "put": 2, "delete": 1, "open": 1, "commit": 1} | _OURS,
}
"""Which steps a kind of history is made of, and how often each of them."""

_setups = st.builds(
    Setup,
    page_rows=st.sampled_from((100, 100, 5)),
    chunk_rows=st.sampled_from((100, 4)),
    read_source=st.booleans(),
    budget=st.sampled_from((100_000, 100_000, 6)),
)


@st.composite
def histories(draw: st.DrawFn, kind: str = "everything", longest: int = 24) -> History:
    """Random histories of a kind."""
    bag = [name for name, weight in KINDS[kind].items() for _ in range(weight)]
    names = draw(st.lists(st.sampled_from(bag), min_size=longest // 3, max_size=longest))
    start: list[Step] = [("populate", 3), ("refresh",), ("poll",)] if draw(st.integers(0, 7)) else []
    place = st.sampled_from(LATE_PLACES if kind == "late" else PLACES)
    steps: list[Step] = []
    for name in names:
        if name in MOTIFS:
            steps += draw(MOTIFS[name])
        else:
            steps.append((name, *(draw(place if argument is _place else argument) for argument in ARGUMENTS[name])))
    return History(replace(draw(_setups), ranged=kind == "stamps"), (*start, *steps))
