"""The command line over a running deployment: words, options and files that nobody should give."""

import json
import random
from pathlib import Path

import pytest

from lambda_pipeline.api import Deployment
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import Hospital
from lambda_pipeline_tests.doors.test_api import VIEWS, statement
from lambda_pipeline_tests.support.programs import Program

WORDS = ["\udcff", *(each for each in hostile.TEXTS if "\x00" not in each and len(each) < 1_000)]
"""What a process can be given: no NUL, and bytes that are not UTF-8 as half of a surrogate pair."""
OPTIONS = ["--count", "--compare", "--json", "--all", "--help", "-v", "-q", "--full", "--rebuild", "--version", "--"]
VALUED = [
    "--limit",
    "--mode",
    "--format",
    "--max-age",
    "--columns",
    "--param",
    "--sample",
    "--seed",
    "--where",
    "--ndjson",
]
NUMBERS = ["0", "1", "-1", "1e9", "nan", "inf", "99999999999999999999", "0.001", "x"]
SAFE = {"query", "sql", "status", "poll", "check", "parity", "views", "--help", "--version", "nonsense"}
"""Commands that change nothing of the hospital that others look at."""


def command(choose: random.Random, folder: Path, number: int) -> list[str]:
    kind = choose.randrange(6)
    word = lambda: choose.choice(WORDS)  # noqa: E731
    if kind == 0:
        view = choose.choice(list(VIEWS))
        return ["query", view, "--where", choose.choice([*VIEWS[view], word()]), choose.choice(["eq", "in", "lt",
        "between",
            "contains", "is-null", word()]), word(), "--format", choose.choice(["csv", "jsonl", "table",
            "parquet"])]  # fmt: skip
    if kind == 1:
        return ["query", choose.choice([*VIEWS, word()]), "--columns", choose.choice(["id", "id,id", word()]),
                choose.choice(["--limit", "--max-age"]), choose.choice(NUMBERS)]  # fmt: skip
    if kind == 2:
        file = folder / f"{number}.sql"
        file.write_bytes(
            choose.choice([statement(choose).encode(errors="surrogatepass"), b"\xff", b"", b"\xef\xbb\xbf;"])
        )
        rest = [f"--param={choose.choice('ab')}={word()}" for _ in range(choose.randrange(3))]
        return ["sql", choose.choice([str(file)] * 4 + [str(folder), word()]), *rest,
                choose.choice(["--compare", "--count", "--limit=3", "--mode=source", "--mode=batch",
                "--format=csv"])]  # fmt: skip
    if kind == 3:
        return [
            choose.choice(["parity", "status", "poll", "check"]),
            *choose.choices([*OPTIONS, *NUMBERS, word()], k=1),
        ]
    if kind == 4:
        return [
            "views",
            choose.choice(["drop", "list", "lint", "sql", "run", word()]),
            word(),
            *choose.choices(WORDS, k=1),
        ]
    first = choose.choice(sorted(SAFE))
    return [first, *choose.choices([*WORDS, *OPTIONS, *VALUED, *NUMBERS], k=choose.randint(0, 4))]


@pytest.mark.parametrize("part", hostile.parts(200, 25))
def test_a_command_ends_with_a_documented_code(
    door: Program, deployment: Deployment, tmp_path: Path, part: int
) -> None:
    choose = hostile.chooser("commands", part)
    for number in range(25):
        arguments = command(choose, tmp_path, number)
        done = door(*arguments)
        if arguments[:1] == ["query"] and "jsonl" in arguments and done.code == 0:
            for line in done.out.splitlines():
                json.loads(line)


@pytest.mark.parametrize("part", hostile.parts(20, 10))
def test_a_count_is_that_of_the_api(door: Program, deployment: Deployment, hospital: Hospital, part: int) -> None:
    choose = hostile.chooser("counts", part)
    for _ in range(10):
        view = choose.choice(list(VIEWS))
        mode = choose.choice(["live", "batch", "source"])
        done = door("query", view, "--count", "--mode", mode)
        assert done.code == 0, done.err
        assert done.out == f"{deployment.serving.query(view, mode=mode).row_count}\n"
