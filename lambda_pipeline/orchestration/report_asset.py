"""The asset `operations_report`: the page that `lambda-pipeline report` writes, made after each nightly refresh."""

import base64
from collections.abc import Sequence
from typing import Any

import dagster as dg

from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.operations.report import collect_report, history_chart, write_page
from lambda_pipeline.orchestration import metadata
from lambda_pipeline.orchestration.assets import batch_key, failure
from lambda_pipeline.orchestration.resources import DeploymentResource

OPERATIONS_REPORT = dg.AssetKey("operations_report")
FILE_NAME = "operations_report.html"


def operations_report(views: Sequence[str]) -> dg.AssetsDefinition:
    """The report of a deployment, after the refresh of these views."""

    @dg.asset(
        key=OPERATIONS_REPORT,
        deps=[batch_key(view) for view in views],
        group_name="operations",
        kinds={"html"},
        # After the parity checks, which wait for the same views: the page shows what they found.
        op_tags={"dagster/priority": "-1"},
        description="One page with freshness, overlay, refreshes, parity, quarantine and the biggest views, in "
        f"`LAMBDA_PIPELINE_HOME/{FILE_NAME}`.",
    )
    def make_report(deployment: DeploymentResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return _make(deployment)

    return make_report


def _make(deployment: DeploymentResource) -> dg.MaterializeResult[Any]:
    opened = deployment.get()
    file = opened.settings.home / FILE_NAME
    try:
        report = collect_report(opened)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_page(report, file)
    except LambdaPipelineError as error:
        raise failure(error) from None
    picture = base64.b64encode(history_chart(report.refreshes).encode()).decode()
    return dg.MaterializeResult(
        metadata={
            **metadata.describe_report(report),
            "page": dg.MetadataValue.path(str(file)),
            "refreshes": dg.MetadataValue.md(f"![refreshes](data:image/svg+xml;base64,{picture})"),
        }
    )
