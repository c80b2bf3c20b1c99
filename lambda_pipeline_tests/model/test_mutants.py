"""The model notices seeded mistakes of merge, capture, coverage, publication and pruning within the tests' profile."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import pytest

from lambda_pipeline_tests.model.__main__ import CAUGHT
from lambda_pipeline_tests.model.mutants import MUTANTS
from lambda_pipeline_tests.model.seeding import PACKAGE, Mutant, SeedingError, seeded
from lambda_pipeline_tests.model.servers import temporary_servers

Hunted = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def hunts() -> Iterator[dict[str, Future[Hunted]]]:
    """Every mutant, run through the histories until one fails; as many at once as there are cores."""
    lanes = os.cpu_count() or 1
    homes: Queue[Path] = Queue()

    def hunt(mutant: Mutant) -> Hunted:
        home = homes.get()
        try:
            with tempfile.TemporaryDirectory() as folder, seeded(mutant, Path(folder)) as root:
                command = [sys.executable, "-m", "lambda_pipeline_tests.model", "hunt", str(home), *mutant.kinds]
                environment = {**os.environ, "PYTHONPATH": str(root)}
                return subprocess.run(
                    command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False
                )
        finally:
            homes.put(home)

    with ExitStack() as stack:
        for _ in range(lanes):
            homes.put(stack.enter_context(temporary_servers()).home)
        pool = stack.enter_context(ThreadPoolExecutor(lanes))
        yield {mutant.name: pool.submit(hunt, mutant) for mutant in MUTANTS}


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_model_notices(mutant: Mutant, hunts: dict[str, Future[Hunted]]) -> None:
    hunted = hunts[mutant.name].result()
    assert hunted.returncode == CAUGHT, f"{hunted.stdout}\n{hunted.stderr}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_product_has_the_place_of_each_mistake(mutant: Mutant) -> None:
    source = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    changed = mutant.apply(source)
    assert changed != source
    if mutant.file.suffix == ".py":
        compile(changed, str(mutant.file), "exec")


def test_there_are_enough_of_them_and_none_twice() -> None:
    assert len(MUTANTS) >= 26
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


SOURCE = '''
QUERY = """
SELECT id  -- the key
  FROM resources
 WHERE deleted IS NULL"""

class Overlay:
    """Holds entries."""

    def length(self, entries):
        # A comment.
        count = len(
            entries
        )
        return count if count > 0 else len(entries)
'''


def test_a_mistake_is_put_into_code_however_it_is_written() -> None:
    changed = Mutant("m", "overlay:Overlay.length", "count = len(entries)", "count = 1\ncount += 1").apply(SOURCE)
    assert "count = 1\n        count += 1\n        return count if count > 0 else len(entries)" in changed


def test_a_mistake_is_put_into_a_text_however_its_lines_are_broken() -> None:
    changed = Mutant("m", "overlay:QUERY", "FROM resources WHERE deleted IS NULL", "FROM resources").apply(SOURCE)
    names: dict[str, str] = {}
    exec(changed, names)
    assert names["QUERY"] == "\nSELECT id  -- the key\n  FROM resources"


@pytest.mark.parametrize(
    ("symbol", "correct", "message"),
    [
        ("overlay:Overlay.size", "count > 0", "m: overlay.py has overlay:Overlay.size 0 times"),
        ("overlay:Overlay.length", "count > 1", "has `count > 1` 0 times"),
        ("overlay:Overlay.length", "len(entries)", "has `len\\(entries\\)` 2 times"),
        ("overlay:QUERY", "WHERE deleted", None),
        ("overlay:QUERY", "WHERE id", "has `WHERE id` 0 times"),
    ],
)
def test_a_mistake_that_cannot_be_put_is_named(symbol: str, correct: str, message: str | None) -> None:
    mutant = Mutant("m", symbol, correct, "False")
    if message is None:
        assert mutant.apply(SOURCE) != SOURCE
    else:
        with pytest.raises(SeedingError, match=message):
            mutant.apply(SOURCE)
