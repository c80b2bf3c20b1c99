"""Primary keys, taken from HAPI's sequences in blocks, so that keys do not follow the order of commits."""

from collections import defaultdict
from threading import Lock

from lambda_pipeline.database import Connection

BLOCK = 50
"""Hibernate's allocation size; the sequences of `schema.sql` step by it."""


class Numbers:
    """The blocks one server has taken and not yet used up. Safe to share between threads."""

    def __init__(self) -> None:
        self._free: defaultdict[str, list[int]] = defaultdict(list)
        self._lock = Lock()

    def take(self, connection: Connection, sequence: str, count: int = 1) -> list[int]:
        """That many keys of a sequence; a rollback does not give them back."""
        with self._lock:
            free = self._free[sequence]
            blocks = -(-(count - len(free)) // BLOCK)
            if blocks > 0:
                starts = connection.execute(
                    "SELECT nextval(%(sequence)s::regclass) FROM generate_series(1, %(blocks)s)",
                    {"sequence": sequence, "blocks": blocks},
                ).fetchall()
                free.extend(start + step for (start,) in starts for step in range(BLOCK))
            taken = free[:count]
            del free[:count]
            return taken
