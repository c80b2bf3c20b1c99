"""A thousand random definitions over random worlds: the compiled statement and a second reading of them agree."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lambda_pipeline.cohorts import CohortAnswer, ask
from lambda_pipeline.errors import CohortDefinitionError
from lambda_pipeline_tests.cohorts.definitions import random_definition
from lambda_pipeline_tests.cohorts.evaluator import Evaluator, Found, plain_rows
from lambda_pipeline_tests.cohorts.people import SYSTEMS, VIEWS, changes, resources
from lambda_pipeline_tests.support.worlds import World

CHUNKS = 10
DEFINITIONS = 100
"""In each chunk, which has a world of its own."""

PAIR = f"title: Pair\nsystem: {SYSTEMS[0]}\nversion: '1'\ncodes:\n  - code: A\n  - code: B\n"
TREE = """title: Tree
system: {system}
version: '1'
codes:
  - {{code: C, descendants: true}}
hierarchy: {{file: tree.csv, sha256: {sha256}}}
"""
HIERARCHY = "child,parent\nD,X\nX,C\nC,X\nB,A\n"
CODES = {"pair": (SYSTEMS[0], {"A", "B"}), "tree": (SYSTEMS[0], {"C", "D", "X"})}


def write_code_sets(folder: Path) -> dict[str, str]:
    """Code sets with and without descendants, and their digests by name."""
    (folder / "tree.csv").write_text(HIERARCHY)
    tree = TREE.format(system=SYSTEMS[0], sha256=hashlib.sha256(HIERARCHY.encode()).hexdigest())
    texts = {"pair": PAIR, "tree": tree}
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def build(make_world: Callable[..., World], rng: Random, folder: Path) -> World:
    """A world with a generation, and changes that only the overlay has."""
    world = make_world(code_sets=folder)
    world.use(VIEWS)
    world.demo.load(resources(rng))
    world.refresh()
    changed = changes(rng)
    with world.demo.open_transaction() as transaction:
        for resource in changed:
            transaction.update(resource)
        for resource in rng.sample(changed, 6):
            if resource["resourceType"] != "Patient":
                transaction.delete(resource["resourceType"], resource["id"])
    world.poll()
    return world


def read(answer: CohortAnswer) -> Found:
    assert answer.person_ids is not None
    return Found(
        set(answer.person_ids),
        [(step.remaining, step.lost, step.excluded_alone) for step in answer.attrition],  # type: ignore[misc]
        Counter({(cell.sex, cell.age_band): cell.persons for cell in answer.breakdown}),  # type: ignore[misc]
        {(each.path, each.reason): each.count for each in answer.left_out},  # type: ignore[misc]
    )


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_definitions_mean_the_same_to_the_compiler_and_to_a_second_reading(
    chunk: int, make_world: Callable[..., World], tmp_path: Path
) -> None:
    rng = Random(f"cohorts/{chunk}")
    pins = write_code_sets(tmp_path)
    world = build(make_world, rng, tmp_path)
    rows = {
        mode: {view.name: plain_rows(world.serving.query(view.name, mode=mode).frame) for view in world.views}
        for mode in ("live", "batch")
    }
    assert rows["live"] != rows["batch"]
    asked = found = 0
    refused: set[str] = set()
    while asked < DEFINITIONS:
        document = random_definition(rng, pins)
        try:
            answers = {mode: ask(world.serving, document, mode=mode, persons=True) for mode in rows}
        except CohortDefinitionError as error:
            refused |= {finding.code for finding in error.findings}
            continue
        asked += 1
        for mode, answer in answers.items():
            expected: Any = Evaluator(document, rows[mode], CODES).evaluate()
            assert read(answer) == expected, (mode, document, answer.statement)
            found += bool(expected.persons)
    assert refused <= EXPECTED
    assert found > asked / 2, "most definitions find somebody"


EXPECTED = {"contradiction", "contradicting-rules", "comparison", "empty-window", "always-true"}
"""Findings that stop a random definition."""
