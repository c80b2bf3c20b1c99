"""Random histories against the oracle: the tests' profile, and that the model itself can tell right from wrong."""

import pytest

from lambda_pipeline_tests.model.campaign import CI, campaign
from lambda_pipeline_tests.model.checks import Tally
from lambda_pipeline_tests.model.steps import ARGUMENTS, KINDS, MOTIFS, History, Setup


@pytest.mark.model
@pytest.mark.timeout(900)
def test_every_answer_is_the_oracles_at_its_frontier_or_is_refused() -> None:
    total = Tally()
    for outcome in campaign(CI):
        total.add(outcome.tally)
        assert not outcome.failure, f"{outcome.round}\n{outcome.failure}"
    assert total.histories >= 300
    assert set(total.steps) >= set(ARGUMENTS)
    assert {"overlay", "batch generation", "hapi"} <= set(total.answers)
    assert {"no-generation", "coverage-gap"} <= set(total.refusals)


def test_a_few_histories_of_everything() -> None:
    (outcome,) = campaign(CI[:1], workers=1, seconds=15)
    assert not outcome.failure, f"{outcome.round}\n{outcome.failure}"
    assert outcome.tally.histories
    assert outcome.tally.answers


def test_every_step_belongs_to_a_kind_of_history() -> None:
    drawn = {name for weights in KINDS.values() for name in weights}
    assert drawn | {"populate"} == {*ARGUMENTS, *MOTIFS}


def test_a_history_is_read_as_it_is_written() -> None:
    history = History(Setup(page_rows=5, read_source=False), (("put", "Patient", 3, 17, "late"), ("poll",)))
    assert History.parse(f"# found by chance\n{history}\n") == history
