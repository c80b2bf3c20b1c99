"""Random histories against the oracle: the tests' profile, and that the model itself can tell right from wrong."""

from collections.abc import Sequence

import pytest

from lambda_pipeline_tests.model.campaign import CI, SMOKE, campaign
from lambda_pipeline_tests.model.checks import Tally
from lambda_pipeline_tests.model.clients import Clients
from lambda_pipeline_tests.model.driver import Round
from lambda_pipeline_tests.model.faults import Faults
from lambda_pipeline_tests.model.product import Product
from lambda_pipeline_tests.model.steps import ARGUMENTS, KINDS, MOTIFS, History, Setup


def run(rounds: Sequence[Round], workers: int | None = None) -> Tally:
    total = Tally()
    for outcome in campaign(rounds, workers=workers):
        total.add(outcome.tally)
        assert not outcome.failure, f"{outcome.round}\n{outcome.failure}"
    return total


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_every_answer_is_the_oracles_at_its_frontier_or_is_refused() -> None:
    total = run(CI)
    assert total.histories >= 300
    assert set(total.steps) >= set(ARGUMENTS)
    assert {"overlay", "batch generation", "hapi"} <= set(total.answers)
    assert {"no-generation", "coverage-gap"} <= set(total.refusals)


def test_a_few_histories_of_each_kind() -> None:
    total = run(SMOKE, workers=1)
    assert total.histories >= len(SMOKE)
    assert {"overlay", "batch generation"} <= set(total.answers)


def test_every_step_belongs_to_a_kind_of_history() -> None:
    drawn = {name for weights in KINDS.values() for name in weights}
    assert drawn | {"populate"} == {*ARGUMENTS, *MOTIFS}


def test_every_step_has_one_actor() -> None:
    assert sorted([*Clients.steps, *Product.steps, *Faults.steps]) == sorted(ARGUMENTS)


def test_a_history_is_read_as_it_is_written() -> None:
    history = History(Setup(page_rows=5, read_source=False), (("put", "Patient", 3, 17, "late"), ("poll",)))
    assert History.parse(f"# found by chance\n{history}\n") == history
