"""The official SQL-on-FHIR cases through the product: from a generation, the overlay, both, and the source."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.errors import LambdaPipelineError, QuarantinedError
from lambda_pipeline.serving import Answer, Mode
from lambda_pipeline.serving.export import stream
from lambda_pipeline.views import compile_view
from lambda_pipeline_tests.support.worlds import World

SUBJECTS = (
    "basic", "collection", "combinations", "constant", "constant_types", "fhirpath", "fhirpath_numbers", "fn_boundary",
    "fn_empty", "fn_extension", "fn_first", "fn_join", "fn_oftype", "fn_reference_keys", "foreach", "logic", "repeat",
    "row_index", "union", "validate", "view_resource", "where",
)  # fmt: skip


@dataclass
class Case:
    """One test of the suite; `refused` holds the error when the compiler refuses its view."""

    name: str
    title: str
    test: dict[str, Any]
    definition: dict[str, Any]
    refused: LambdaPipelineError | None = None


def cases_of(suite: dict[str, Any]) -> list[Case]:
    cases = []
    for number, test in enumerate(suite["tests"]):
        name = f"case_{number}"
        case = Case(name, test["title"], test, {"status": "active", **test["view"], "name": name})
        try:
            compile_view(case.definition)
        except LambdaPipelineError as error:
            case.refused = error
        cases.append(case)
    return cases


def rows(answer: Answer) -> Counter[str]:
    text = io.StringIO()
    stream(answer, "jsonl", text)
    return Counter(canonical(json.loads(line, parse_float=Decimal)) for line in text.getvalue().splitlines())


def canonical(value: Any) -> str:
    """Equal exactly for equal JSON: 1 equals 1.0, a boolean is no number."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
        case list():
            return "[" + ",".join(map(canonical, value)) + "]"
        case bool() | str() | None:
            return json.dumps(value)
        case _:
            return f"{Decimal(value).normalize():f}"


def check(case: Case, world: World, mode: Mode, where: str) -> None:
    told = f"{case.title} ({where})"
    if case.test.get("expectError"):
        with pytest.raises(QuarantinedError):
            world.serving.query(case.name, mode=mode, accept_quarantined=False)
        return
    answer = world.serving.query(case.name, mode=mode, accept_quarantined=False)
    if "expect" in case.test:
        assert rows(answer) == Counter(map(canonical, case.test["expect"])), told
    if "expectCount" in case.test:
        assert answer.row_count == case.test["expectCount"], told
    if "expectColumns" in case.test:
        assert list(answer.frame.columns) == case.test["expectColumns"], told


def put(world: World, resources: list[dict[str, Any]]) -> None:
    for resource in resources:
        if "id" in resource:
            world.demo.update(resource)
        else:
            world.demo.create(resource)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_official_cases(shared: Path, make_world: Callable[..., World], subject: str) -> None:
    suite = json.loads((shared / "conformance" / f"{subject}.json").read_text(), parse_float=Decimal)
    cases = cases_of(suite)
    for case in cases:
        assert (case.refused is None) or case.test.get("expectError"), (case.title, case.refused)
    running = [case for case in cases if case.refused is None]
    if not running:
        return
    resources = suite["resources"]

    world = make_world()
    world.use([case.definition for case in running])
    world.refresh()
    put(world, resources)
    world.poll()
    for case in running:
        check(case, world, "live", "all in the overlay")
        check(case, world, "source", "source")
    world.refresh()
    for case in running:
        check(case, world, "batch", "published generation")

    world.overlay.client.flushall()
    world = make_world()
    world.use([case.definition for case in running])
    known = [resource for resource in resources if "id" in resource]
    put(world, [{"resourceType": resource["resourceType"], "id": resource["id"]} for resource in known[::2]])
    put(world, known[1::2][:1])
    world.refresh()
    put(world, [resource for resource in resources if resource not in known[1::2][:1]])
    world.poll()
    for case in running:
        check(case, world, "live", "some in each layer, some superseded")
