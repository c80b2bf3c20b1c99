"""Asset checks: what a person should look at although no run failed.

Only `parity`, `definition` and tests of views (`test_...`) are errors; a file of tests may make its own warnings.

Conditions that must hold before a generation is published do not belong here: a check runs after the publication, and
the refresh itself decides about them. The comparison behind parity is in `operations/parity.py`.
"""

from collections.abc import Sequence

import dagster as dg

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import HapiUnavailableError, LambdaPipelineError, RedisUnavailableError, SourceError
from lambda_pipeline.operations.parity import Parity
from lambda_pipeline.operations.view_tests import TestOutcome
from lambda_pipeline.orchestration import metadata
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.tick import Tick
from lambda_pipeline.views import View

ROWS_PLAUSIBLE = "rows_plausible"
QUARANTINE_EMPTY = "quarantine_empty"
RECONCILIATION = "reconciliation"
SCHEMA = "schema"
DEFINITION = "definition"
PARITY = "parity"
COVERAGE = "coverage"
LAG = "lag"
REDIS_POLICY = "redis_policy"
SOURCE = "source"
TEST = "test_"
"""The checks of a file of tests begin with this."""

LEAST_SHARE_OF_ROWS = 0.5
"""A view with less than this share of the rows of the last generation fails `rows_plausible`."""

TICK_CYCLE_S = 5.0
"""How often Dagster's daemon looks for sensors that are due."""

_WARN = dg.AssetCheckSeverity.WARN


def batch_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of one batch view."""
    return [
        dg.AssetCheckSpec(
            ROWS_PLAUSIBLE, asset=key, description="Has rows if there are resources, and not far fewer than before."
        ),
        dg.AssetCheckSpec(QUARANTINE_EMPTY, asset=key, description="Every resource of its type can be read."),
        dg.AssetCheckSpec(
            RECONCILIATION,
            asset=key,
            description="The comparison of all keys found no untracked change: no resource was expunged or lost tags. "
            "Where it found some, they are repaired.",
        ),
        dg.AssetCheckSpec(
            SCHEMA,
            asset=key,
            description="The columns are those of the generation before, so that no saved question breaks.",
        ),
        dg.AssetCheckSpec(
            DEFINITION,
            asset=key,
            description="The view is as its file defines it: the file compiles, and the refresh could make the view.",
        ),
    ]


def check_batch_view(key: dg.AssetKey, generation: Generation, before: Generation | None) -> list[dg.AssetCheckResult]:
    """Results of `batch_check_specs` for one view of a generation, all but `definition`.

    Args:
        key: of the asset; its last part is the name of the view.
        generation: the published one.
        before: the generation before it; None for the first.
    """
    view = generation.views[key.path[-1]]
    old = before.views.get(view.view.name) if before else None
    previous = old.row_count if old else 0
    plausible = view.row_count >= previous * LEAST_SHARE_OF_ROWS and bool(view.row_count or not view.resources)
    repairs = generation.repairs.get(view.view.resource)
    changes = metadata.schema_change(old.view, view.view) if old else {}
    return [
        dg.AssetCheckResult(
            check_name=ROWS_PLAUSIBLE,
            asset_key=key,
            passed=plausible,
            severity=_WARN,
            metadata={"rows": view.row_count, "rows_before": previous, "resources": view.resources},
        ),
        dg.AssetCheckResult(
            check_name=QUARANTINE_EMPTY,
            asset_key=key,
            passed=not view.quarantined,
            severity=_WARN,
            metadata={"quarantined": view.quarantined, "where": "table sqlonfhir.quarantine"},
        ),
        dg.AssetCheckResult(
            check_name=RECONCILIATION,
            asset_key=key,
            passed=not repairs,
            severity=_WARN,
            metadata=metadata.describe_repairs(repairs),
        ),
        dg.AssetCheckResult(
            check_name=SCHEMA,
            asset_key=key,
            passed=not changes,
            severity=_WARN,
            metadata={change: ", ".join(names) for change, names in changes.items()},
        ),
    ]


def specs_of_tests(key: dg.AssetKey, view: View) -> list[dg.AssetCheckSpec]:
    """One check for each test in the view's file of tests; its examples are one check."""
    cases = view.tests.cases() if view.tests else ()
    return [dg.AssetCheckSpec(f"{TEST}{case.name}", asset=key, description=case.text) for case in cases]


def results_of_tests(key: dg.AssetKey, view: View, outcomes: Sequence[TestOutcome]) -> list[dg.AssetCheckResult]:
    """Results of `specs_of_tests`.

    Args:
        key: of the asset.
        view: with its tests.
        outcomes: of the tests of all views; a test without one could not run.
    """
    if view.tests is None:
        return []
    severity = dg.AssetCheckSeverity.WARN if view.tests.severity == "warn" else dg.AssetCheckSeverity.ERROR
    results = []
    for case in view.tests.cases():
        own = [each for each in outcomes if each.view == view.name and _belongs(each, case.name)]
        results.append(
            dg.AssetCheckResult(
                check_name=f"{TEST}{case.name}",
                asset_key=key,
                passed=bool(own) and all(outcome.passed for outcome in own),
                severity=severity,
                metadata=metadata.describe_tests(own),
            )
        )
    return results


def _belongs(outcome: TestOutcome, case: str) -> bool:
    return outcome.test == case or (case == "examples" and outcome.test.startswith("example "))


def definition_result(key: dg.AssetKey, problem: str) -> dg.AssetCheckResult:
    """Whether a view is as its file defines it; `problem` says why it is not, and is empty if it is."""
    return dg.AssetCheckResult(
        check_name=DEFINITION,
        asset_key=key,
        passed=not problem,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problem": problem or "none"},
    )


def parity_check_spec(key: dg.AssetKey, after: dg.AssetKey | None = None) -> dg.AssetCheckSpec:
    """The comparison of what is served with its recompute, for one batch or merged view.

    Args:
        key: of the view.
        after: another asset whose refresh the check waits for.
    """
    return dg.AssetCheckSpec(
        PARITY,
        asset=key,
        additional_deps=[after] if after else None,
        description="Served rows of a random sample of resources equal their recompute from HAPI's tables.",
    )


def parity_result(key: dg.AssetKey, parity: Parity) -> dg.AssetCheckResult:
    """The result of a comparison for one view; its severity is an error."""
    found = parity.views[key.path[-1]]
    return dg.AssetCheckResult(
        check_name=PARITY,
        asset_key=key,
        passed=not found.mismatches,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata.describe_parity(parity, found),
    )


def parity_not_checked(key: dg.AssetKey, error: LambdaPipelineError) -> dg.AssetCheckResult:
    """The failed result of a view whose comparison was refused or failed."""
    return dg.AssetCheckResult(
        check_name=PARITY,
        asset_key=key,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata=metadata.describe_error(error),
    )


def speed_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the speed layer."""
    return [
        dg.AssetCheckSpec(
            COVERAGE, asset=key, description="The overlay contains every change since the published generation."
        ),
        dg.AssetCheckSpec(LAG, asset=key, description="The overlay follows HAPI within seconds."),
        dg.AssetCheckSpec(
            REDIS_POLICY,
            asset=key,
            description="Redis can be reached, refuses writes when it is full, and evicts nothing.",
        ),
        dg.AssetCheckSpec(SOURCE, asset=key, description="HAPI's tables can be read."),
    ]


def check_speed_layer(key: dg.AssetKey, tick: Tick, deployment: Deployment) -> list[dg.AssetCheckResult]:
    """Results of `speed_check_specs` after a tick."""
    limit = lag_limit_s(deployment.settings)
    policy = eviction_policy(deployment)
    return [
        _result(key, COVERAGE, passed=not tick.refresh_needed, metadata={"gap": tick.refresh_needed or "none"}),
        _result(key, LAG, passed=tick.lag_s <= limit, metadata={"lag_s": round(tick.lag_s, 3), "limit_s": limit}),
        _result(key, REDIS_POLICY, passed=policy == "noeviction", metadata={"maxmemory_policy": policy}),
        _result(key, SOURCE, passed=True, metadata={"reason": "none"}),
    ]


def failed_speed_layer(key: dg.AssetKey, error: LambdaPipelineError) -> list[dg.AssetCheckResult]:
    """Results of `speed_check_specs` after a tick that failed: those that the error speaks of, and no others.

    Nothing follows HAPI while ticks fail, so coverage and lag fail whatever the reason is.
    """
    failed = [COVERAGE, LAG]
    failed += [REDIS_POLICY] if isinstance(error, RedisUnavailableError) else []
    failed += [SOURCE] if isinstance(error, HapiUnavailableError | SourceError) else []
    return [_result(key, name, passed=False, metadata={**metadata.describe_error(error)}) for name in failed]


def to_evaluations(found: Sequence[dg.AssetCheckResult]) -> list[dg.AssetCheckEvaluation]:
    """The same results in the form that can be reported without a run."""
    return [
        dg.AssetCheckEvaluation(
            asset_key=each.asset_key,
            check_name=each.check_name,
            passed=each.passed,
            severity=each.severity,
            metadata=dict(each.metadata),
        )
        for each in found
        if each.asset_key is not None and each.check_name is not None
    ]


def lag_limit_s(settings: Settings) -> float:
    """How many seconds the overlay may be behind: three cycles of the sensor, or three polls if those are slower."""
    return 3 * max(TICK_CYCLE_S, settings.poll_interval_s)


def eviction_policy(deployment: Deployment) -> str:
    """Redis's `maxmemory-policy`, from INFO: hosted servers forbid CONFIG."""
    return str(deployment.overlay.client.info("memory").get("maxmemory_policy", "unknown"))


def _result(key: dg.AssetKey, name: str, *, passed: bool, metadata: dict[str, str | float]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, severity=_WARN, metadata={**metadata})
