"""The development deployment, started and stopped for real."""

import http.client
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.api import open_deployment
from lambda_pipeline.development import dagster_process, dev, embedded, processes
from lambda_pipeline.errors import ConfigurationError, ServerUnavailableError
from lambda_pipeline.settings import Settings, load_settings

TICKS = """
query { sensorOrError(sensorSelector: {repositoryLocationName: "lambda_pipeline", repositoryName: "__repository__",
                                       sensorName: "capture_changes"}) {
  ... on Sensor { sensorState { ticks(limit: 5) { status skipReason error { message } } } } } }
"""
GENERATION = """
query { assetOrError(assetKey: {path: ["batch", "patient_simple"]}) {
  ... on Asset { assetMaterializations(limit: 1) {
    metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that PostgreSQL's account can enter, removed with everything in it."""
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    folder.chmod(0o755)
    yield folder
    dev.stop(settings=Settings(home=folder), say=lambda _: None)
    embedded.clean(folder)
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, query: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())["data"]


def until(found: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return answer


def test_everything_starts_captures_finds_its_data_again_and_leaves_no_process(home: Path) -> None:
    settings, port, said = Settings(home=home), free_port(), list[str]()
    start = {"port": port, "detach": True, "patients": 100, "settings": settings, "say": said.append}
    assert dev.run(**start, changing=True) == 0  # type: ignore[arg-type]
    assert said[-1] == f"Dagster: http://127.0.0.1:{port}"
    record = dagster_process.find_running(settings)
    assert record is not None

    def captured() -> bool:
        ticks = ask(port, TICKS)["sensorOrError"]["sensorState"]["ticks"]
        assert not [tick for tick in ticks if tick["error"]]
        return any("captured" in (tick["skipReason"] or "") for tick in ticks)

    until(captured)
    entries = until(lambda: ask(port, GENERATION)["assetOrError"].get("assetMaterializations"))[0]["metadataEntries"]
    assert {"label": "generation", "intValue": 1} in entries
    assert dev.run(**start) == 0  # type: ignore[arg-type]
    assert "runs already" in said[-1]
    assert dev.stop(settings=settings, say=said.append) == ["Dagster", "PostgreSQL", "Valkey"]
    mark = f"LAMBDA_PIPELINE_DAGSTER_DIR={home.resolve() / 'dagster'}"
    assert not any(processes.group_is_alive(group, mark) for group in record.groups)
    assert dev.stop(settings=settings, say=said.append) == []

    said.clear()
    assert dev.run(**start) == 0  # type: ignore[arg-type]
    assert said == [f"Dagster: http://127.0.0.1:{port}"]
    with open_deployment(settings) as deployment:
        assert deployment.serving.query("patient_simple", mode="batch").row_count == 99


def test_a_port_in_use_is_named(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} cannot be used"):
            dev.run(port=port, settings=Settings(home=home))


def test_a_server_that_does_not_answer_is_named_and_nothing_is_started(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPI_DB_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DAGSTER_PG_URL", database_url)
    load_settings.cache_clear()
    settings = Settings(home=home)
    with pytest.raises(ServerUnavailableError, match="Redis"):
        dev.run(port=free_port(), settings=settings)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql://nobody:swordfish@127.0.0.1:1/dagster")
    with pytest.raises(ServerUnavailableError, match="DAGSTER_PG_URL: PostgreSQL at 127") as raised:
        dev.run(port=free_port(), settings=Settings(home=home))
    assert "swordfish" not in str(raised.value)
    assert dagster_process.find_running(settings) is None
    assert embedded.running(home) is None


def test_only_the_embedded_source_is_kept_changing(
    home: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in {"HAPI_DB_URL": database_url, "REDIS_URL": redis_url, "DAGSTER_PG_URL": database_url}.items():
        monkeypatch.setenv(name, url)
    with pytest.raises(ConfigurationError, match="only the embedded source"):
        dev.run(port=free_port(), changing=True, settings=Settings(home=home))


def test_dagster_gets_the_driver_that_its_storage_is_written_for(
    home: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in {"HAPI_DB_URL": database_url, "REDIS_URL": redis_url, "DAGSTER_PG_URL": database_url}.items():
        monkeypatch.setenv(name, url)
    assert database_url.startswith("postgresql://")
    environment = dagster_process.dagster_environment(Settings(home=home))
    assert environment["DAGSTER_PG_URL"].startswith("postgresql+psycopg2://")
    assert environment["HAPI_DB_URL"] == database_url
    assert Path(environment["DAGSTER_HOME"], "dagster.yaml").exists()


def test_clean_removes_what_dev_wrote_beside_configured_servers(
    tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without embedded servers nothing marked the home, so that the logs of runs stayed after `removed`."""
    for name, url in {"HAPI_DB_URL": database_url, "REDIS_URL": redis_url, "DAGSTER_PG_URL": database_url}.items():
        monkeypatch.setenv(name, url)
    said: list[str] = []
    home = tmp_path / "home"
    dagster_process.dagster_environment(Settings(home=home))
    (home / "dagster" / "step.err").write_text("a run's messages\n")
    for name in ("HAPI_DB_URL", "REDIS_URL", "DAGSTER_PG_URL"):
        monkeypatch.delenv(name)
    dev.clean(settings=Settings(home=home), say=said.append)
    assert said[-1] == f"removed {home}"
    assert not home.exists()


def test_clean_leaves_a_home_that_others_use(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "mine").write_text("a file of the user's\n")
    embedded.claim(tmp_path)
    dev.clean(settings=Settings(home=tmp_path), say=said.append)
    assert said[-1] == f"{tmp_path} contains files of others and stays"
    assert (tmp_path / "mine").exists()
