"""No run of Dagster keeps a value of a resource that an error could quote: not in events, logs or on stderr."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.orchestration.resources import DeploymentResource, ServingResource
from lambda_pipeline_tests.support.failing_sql import FAILING, MARK, MARKED
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import Site


@pytest.fixture
def marked(site: Site, tmp_path: Path) -> Site:
    """One patient with a name that nothing can read; runs, events and logs of steps are files."""
    (tmp_path / "instance").mkdir()
    site.instance = dg.DagsterInstance.local_temp(str(tmp_path / "instance"))
    site.demo.update(patient("a", name=[{"family": MARKED}], birthDate="1980-01-01"))
    site.deployment.refresh()
    return site


def files_with(mark: str, folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and mark.encode() in path.read_bytes()]


def test_failed_questions_leave_no_value_behind(
    marked: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tsquery = "SELECT family::tsquery AS x FROM patients"
    for statement in [tsquery, *FAILING[::12]]:
        assert not marked.run("sql_query", {"sql": statement}).success
    assert not files_with(MARK, tmp_path / "instance")
    assert files_with("SELECT family::tsquery", tmp_path / "instance"), "the run config is there"
    assert MARK not in "".join(capfd.readouterr())


def test_an_asset_of_somebody_else_leaves_no_value_behind(
    marked: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.asset
    def numbers(serving: ServingResource) -> None:
        serving.serving.select("SELECT family::integer AS x FROM patients")

    @dg.asset
    def wrapped(serving: ServingResource) -> None:
        try:
            serving.serving.select("SELECT family::tsquery AS x FROM patients")
        except LambdaPipelineError as error:
            raise RuntimeError("the asset failed") from error

    @dg.asset
    def retold(deployment: DeploymentResource) -> None:
        try:
            deployment.get().serving.select("SELECT family::json AS x FROM patients")
        except LambdaPipelineError:
            raise RuntimeError("the asset failed")  # noqa: B904 (somebody's code, which keeps the context)

    resources: dict[str, Any] = {"serving": ServingResource(), "deployment": DeploymentResource()}
    for asset in (numbers, wrapped, retold):
        run = dg.materialize([asset], resources=resources, instance=marked.instance, raise_on_error=False)
        assert not run.success
    assert not files_with(MARK, tmp_path / "instance")
    assert files_with("cannot be converted", tmp_path / "instance")
    assert MARK not in "".join(capfd.readouterr())
