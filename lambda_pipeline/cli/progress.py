"""The progress bar of commands whose standard error is a terminal; elsewhere progress stays in the log."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lambda_pipeline.batch.progress import Progress, show_with

logger = logging.getLogger("lambda_pipeline")


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show progress as bars on standard error, within the `with` block; not with `--quiet`."""
    if not (sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)):
        yield
        return
    from rich import progress as rich  # noqa: PLC0415 (slow to import, and most commands show no bar)
    from rich.console import Console  # noqa: PLC0415

    text = rich.TextColumn("{task.description}", markup=False)
    state = rich.TextColumn("{task.fields[state]}", markup=False)
    bars: dict[Progress, rich.TaskID] = {}

    def show(progress: Progress) -> None:
        if progress not in bars:
            bars[progress] = display.add_task(progress.what, total=progress.total, state="")
        display.update(bars[progress], completed=progress.done, state=str(progress))

    columns = (text, rich.BarColumn(), state)
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as display:
        # Log lines go through rich's stand-in for standard error, which puts them above the bars.
        streams = [
            (handler, handler.setStream(sys.stderr))
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler)
        ]
        try:
            with show_with(show):
                yield
        finally:
            for handler, stream in streams:
                if stream is not None:
                    handler.setStream(stream)
