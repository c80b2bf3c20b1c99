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
from lambda_pipeline_tests.model.mutants import MUTANTS, Mutant, mutated
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
            with tempfile.TemporaryDirectory() as folder, mutated(mutant, Path(folder)) as root:
                command = [sys.executable, "-m", "lambda_pipeline_tests.model", "hunt", str(home), *mutant.kinds]
                return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
        finally:
            homes.put(home)

    with ExitStack() as stack:
        for _ in range(lanes):
            homes.put(stack.enter_context(temporary_servers()).home)
        pool = stack.enter_context(ThreadPoolExecutor(lanes))
        yield {mutant.name: pool.submit(hunt, mutant) for mutant in MUTANTS}


@pytest.mark.model
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_model_notices(mutant: Mutant, hunts: dict[str, Future[Hunted]]) -> None:
    hunted = hunts[mutant.name].result()
    assert hunted.returncode == CAUGHT, f"{hunted.stdout}\n{hunted.stderr}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mistake_can_be_made(mutant: Mutant) -> None:
    compile(mutant.text(), mutant.file, "exec") if mutant.file.suffix == ".py" else mutant.text()


def test_there_are_enough_of_them_and_none_twice() -> None:
    assert len(MUTANTS) >= 15
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
