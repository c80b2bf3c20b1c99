"""Which subjects were told of, and when: a file in the home folder, shared by all processes of one machine.

A file and not Redis or PostgreSQL: a notice must leave just when those are away.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

TRY_AGAIN_S = 60.0
"""A notice that nobody took is tried again after this time, or after the interval if that is shorter."""


@dataclass(slots=True)
class Episode:
    """One subject, from its first failure until it is over.

    Attributes:
        since: when it began, in seconds since 1970.
        next_at: no notice of a failure is sent before this time; it outlives the end, so that flapping is limited too.
        told: a notice of this failure was delivered.
        over: it has ended.
        over_next_at: the notice of the end is not tried before this time.
        held_back: failures that were not told of since the last notice.
    """

    since: float
    next_at: float = 0.0
    told: bool = False
    over: bool = False
    over_next_at: float = 0.0
    held_back: int = 0


_unwritable: dict[Path, dict[str, Episode]] = {}
"""Episodes of folders that cannot be written to, such as on a full disk: then each process limits its own notices."""


class Ledger:
    """The episodes of all subjects.

    Args:
        folder: of the file.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "notifications.json"

    def read(self) -> dict[str, Episode]:
        """All episodes by subject; a file that cannot be read counts as empty."""
        if self._file in _unwritable:
            return _unwritable[self._file]
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return {subject: Episode(**fields) for subject, fields in json.loads(self._file.read_text()).items()}
        return {}

    @contextmanager
    def change(self) -> Iterator[dict[str, Episode]]:
        """The episodes, to be changed within the `with` block by one process at a time."""
        with self._locked():
            episodes = self.read()
            yield episodes
            try:
                unfinished = self._file.with_suffix(".new")
                unfinished.write_text(json.dumps({subject: asdict(each) for subject, each in episodes.items()}))
                unfinished.replace(self._file)
                _unwritable.pop(self._file, None)
            except OSError:
                _unwritable[self._file] = episodes

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(self._file.with_suffix(".lock").open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
