"""Primary keys from HAPI's sequences, taken in blocks: as in HAPI, keys do not follow the order of commits."""

from collections import defaultdict
from threading import Lock

from lambda_pipeline.database import Connection

BLOCK = 50
"""Hibernate's allocation size, and the increment of the sequences in `schema.sql`."""


class Numbers:
    """The unused keys of the blocks that one server has taken; safe to share between threads."""

    def __init__(self) -> None:
        self._free: defaultdict[str, list[int]] = defaultdict(list)
        self._lock = Lock()

    def take(self, connection: Connection, sequence: str, count: int = 1) -> list[int]:
        """Take `count` keys of a sequence; a rollback does not return them."""
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
