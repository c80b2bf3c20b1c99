"""Log files of the servers: the end of one after a failed start, and a limit of their size."""

from pathlib import Path

LIMIT_BYTES = 10 * 1024 * 1024


def size(log: Path) -> int:
    """Bytes in the log; 0 when there is none."""
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, *, since: int = 0, lines: int = 12) -> str:
    """The last lines written after a position; earlier lines may contain data."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(since)
        written = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(written[-lines:]) or "(nothing in the log)"


def rotate(log: Path) -> None:
    """Rename a long log, and keep one old log; only while the server does not run."""
    if size(log) > LIMIT_BYTES:
        log.replace(log.with_suffix(".log.old"))
