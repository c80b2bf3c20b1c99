"""Log files of the servers: what a failed start wrote, and not growing for ever."""

from pathlib import Path

LIMIT_BYTES = 10 * 1024 * 1024


def size(log: Path) -> int:
    """Bytes in the log; 0 when there is none."""
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, *, since: int = 0, lines: int = 12) -> str:
    """The last lines written after a position: those before may be about data."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(since)
        written = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(written[-lines:]) or "(nothing in the log)"


def rotate(log: Path) -> None:
    """Put a long log aside; one old one is kept. Not while the server runs."""
    if size(log) > LIMIT_BYTES:
        log.replace(log.with_suffix(".log.old"))
