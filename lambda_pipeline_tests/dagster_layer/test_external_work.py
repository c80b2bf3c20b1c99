"""What the UI shows of sources, merged views and comparisons, whoever made the refresh."""

import asyncio
from collections.abc import Mapping

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from lambda_pipeline.cli.program import run
from lambda_pipeline_tests.dagster_layer.test_checks import latest, result, tamper
from lambda_pipeline_tests.support.definitions import CONDITIONS, PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site

SHOWN = [dg.AssetKey([layer, name]) for layer, name in [
    ("hapi", "Patient"), ("hapi", "Condition"), ("batch", "patients"), ("batch", "conditions"),
    ("merged", "patients"), ("merged", "conditions"),
]]  # fmt: skip
PARITY = [dg.AssetCheckKey(dg.AssetKey([layer, "patients"]), "parity") for layer in ("batch", "merged")]


def colours(site: Site) -> Mapping[dg.AssetKey, StaleStatus]:
    """What the lineage shows: MISSING is "never materialized", STALE is "unsynced"."""
    graph = site.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(site.instance, graph, LoadingContextForTest(site.instance))
    return {key: resolver.get_status(key) for key in SHOWN}


def is_shown(site: Site, key: dg.AssetCheckKey) -> bool:
    """Whether the UI takes the newest result of a check for one of the newest materialization."""
    found = site.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
    return key in found and asyncio.run(found[key].targets_latest_materialization(LoadingContextForTest(site.instance)))


def test_after_a_run_nothing_is_never_materialized_or_unsynced(night: Site) -> None:
    assert set(colours(night).values()) == {StaleStatus.FRESH}
    night.demo.update(patient("d"))
    night.tick()
    assert night.refresh().success
    night.tick()
    assert set(colours(night).values()) == {StaleStatus.FRESH}
    merged = night.latest("merged", "patients")
    assert merged is not None
    assert (merged.metadata["generation"].value, merged.metadata["batch_rows"].value) == (2, 4)
    assert all(is_shown(night, key) for key in PARITY)


def test_a_refresh_of_the_command_line_and_its_comparison_are_shown_by_the_next_tick(
    night: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    cursor = night.tick().cursor
    night.demo.update(patient("d"))
    assert run(["refresh"]) == 0
    night.tick(cursor)
    for layer in ("batch", "merged"):
        shown = night.latest(layer, "patients")
        assert shown is not None
        assert shown.metadata["generation"].value == 2
        passed, _, metadata = result(night, dg.AssetKey([layer, "patients"]), "parity")
        assert (passed, metadata["generation"], metadata["checked"]) == (True, 2, 4)
    assert all(is_shown(night, key) for key in PARITY)
    sources = night.latest("hapi", "Patient")
    assert sources is not None
    assert sources.metadata["dagster/row_count"].value == 4


def test_a_comparison_of_the_command_line_is_shown_once_and_by_key(
    night: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(night, "UPDATE sqlonfhir.patients__1 SET gender = 'swordfish' WHERE id = 'b'")
    cursor = night.tick().cursor
    assert run(["parity", "--all"]) == 1
    tick = night.tick(cursor)
    passed, _, metadata = result(night, dg.AssetKey(["merged", "patients"]), "parity")
    assert (passed, metadata["mismatches"], metadata["differing"]) == (False, 1, "Patient/b")
    assert "swordfish" not in str(tick.asset_events)
    assert not [e for e in night.tick(tick.cursor).asset_events if isinstance(e, dg.AssetCheckEvaluation)]


def test_a_comparison_that_a_run_reported_is_not_reported_again(night: Site) -> None:
    before = latest(night, PARITY[0].asset_key, "parity")
    events = night.tick().asset_events
    assert not [e for e in events if isinstance(e, dg.AssetCheckEvaluation) and e.check_name == "parity"]
    assert latest(night, PARITY[0].asset_key, "parity") == before


def test_without_a_check_of_parity_no_comparison_is_reported(night: Site, capsys: pytest.CaptureFixture[str]) -> None:
    night.setenv("LAMBDA_PIPELINE_PARITY_SAMPLE", "0")
    night.define(PATIENTS, CONDITIONS)
    assert run(["parity"]) == 0
    events = night.tick().asset_events
    assert not [e for e in events if isinstance(e, dg.AssetCheckEvaluation) and e.check_name == "parity"]
