"""`python -m benchmarks [names...]`: run them, print tables to stdout and progress to stderr."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.commit_to_visible import commit_to_visible
from benchmarks.full_build import full_build
from benchmarks.incremental_refresh import incremental_refresh
from benchmarks.merged_count import merged_count
from benchmarks.overlay_read import overlay_read
from benchmarks.pipeline import Bench, Sizes, bench
from benchmarks.poll import poll
from benchmarks.report import Finding
from benchmarks.unreadable import unreadable

BENCHMARKS: dict[str, Callable[[Bench], Finding]] = {
    "full_build": full_build,
    "merged_count": merged_count,
    "overlay_read": overlay_read,
    "poll": poll,
    "commit_to_visible": commit_to_visible,
    "incremental_refresh": incremental_refresh,
    "unreadable": unreadable,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks.

    Args:
        arguments: of the command line; `sys.argv` when None.

    Returns:
        The exit code.
    """
    chosen = _parser().parse_args(arguments)
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        _say(f"unknown benchmark {unknown[0]}: one of {', '.join(BENCHMARKS)}")
        return 2
    sizes = Sizes(chosen.patients, chosen.ndjson, chosen.entries, chosen.commits, chosen.rounds)
    findings = []
    _say(
        f"starting servers, {f'loading {sizes.ndjson}' if sizes.ndjson else f'generating {sizes.patients:,} patients'}"
    )
    with bench(sizes) as running:
        facts = running.facts()
        print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n", flush=True)
        for name in chosen.names or BENCHMARKS:
            _say(name)
            began = time.monotonic()
            findings.append(BENCHMARKS[name](running))
            print(findings[-1].text(), flush=True)
            _say(f"{name}: {time.monotonic() - began:.0f} s")
    if chosen.json:
        document = {"facts": facts, "findings": [finding.json() for finding in findings]}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Sizes()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the pipeline on servers of its own.",
        epilog="Compare numbers of one run only: the machine decides the rest.",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--patients", type=_positive, default=default.patients, help="default: %(default)s")
    parser.add_argument("--ndjson", type=_folder, metavar="FOLDER", help="measure on these records instead")
    parser.add_argument("--entries", type=_positive, default=default.entries, help="of a full overlay (%(default)s)")
    parser.add_argument("--commits", type=_positive, default=default.commits, help="to follow (%(default)s)")
    parser.add_argument("--rounds", type=_positive, default=default.rounds, help="the best counts (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _folder(text: str) -> Path:
    folder = Path(text)
    if not any(folder.glob("*.ndjson*")):
        raise ValueError
    return folder


def _say(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
