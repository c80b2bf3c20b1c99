"""`python -m benchmarks [names...]`: run benchmarks, print tables to stdout and progress to stderr."""

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
from benchmarks.pipeline import Bench, Sizes, open_bench
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
        arguments: arguments of the command line; those of the process when None.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        _print_progress(f"unknown benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
        return 2
    sizes = Sizes(options.patients, options.ndjson, options.entries, options.commits, options.rounds)
    findings = []
    _print_progress(
        f"starting servers, {f'loading {sizes.ndjson}' if sizes.ndjson else f'generating {sizes.patients:,} patients'}"
    )
    with open_bench(sizes) as bench:
        facts = bench.facts()
        print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n", flush=True)
        for name in options.names or BENCHMARKS:
            _print_progress(name)
            began = time.monotonic()
            findings.append(BENCHMARKS[name](bench))
            print(findings[-1].text(), flush=True)
            _print_progress(f"{name}: {time.monotonic() - began:.0f} s")
    if options.json:
        document = {"facts": facts, "findings": [finding.json() for finding in findings]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Sizes()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the pipeline on servers started for this run.",
        epilog="Compare only numbers of the same run: times depend on the machine.",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument(
        "--patients", type=_parse_positive, default=default.patients, help="size of the population (%(default)s)"
    )
    parser.add_argument(
        "--ndjson", type=_parse_folder, metavar="FOLDER", help="measure on the NDJSON files of this folder instead"
    )
    parser.add_argument(
        "--entries", type=_parse_positive, default=default.entries, help="entries of a full overlay (%(default)s)"
    )
    parser.add_argument(
        "--commits", type=_parse_positive, default=default.commits, help="commits whose delay is measured (%(default)s)"
    )
    parser.add_argument(
        "--rounds",
        type=_parse_positive,
        default=default.rounds,
        help="repetitions, of which the shortest counts (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    return parser


def _parse_positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _parse_folder(text: str) -> Path:
    folder = Path(text)
    if not any(folder.glob("*.ndjson*")):
        raise ValueError
    return folder


def _print_progress(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
