"""One small hospital per worker, whose answers nobody changes, behind every door."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lambda_pipeline.api import Deployment, open_deployment
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.development import embedded
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.doors.hospital import MEASURED, Hospital, make_door
from lambda_pipeline_tests.support.definitions import DEFINITIONS
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.programs import Program
from lambda_pipeline_tests.support.servers import FAST, beside


@pytest.fixture(scope="session")
def hospital(
    postgres_url: str, redis_server: str, server_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Hospital:
    """Five patients, their conditions and measurements, after a night and with changes of the morning."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE doors")
    folder = tmp_path_factory.mktemp("doors") / "views"
    folder.mkdir()
    for definition in (*DEFINITIONS, MEASURED):
        (folder / f"{definition['name']}.json").write_text(json.dumps(definition))
    redis_url = f"{redis_server}{'&' if '?' in redis_server else '?'}db=7"
    urls = ServerUrls(beside(postgres_url, "doors"), redis_url, embedded_postgres=False, embedded_redis=False)
    with Deployment(urls, load_views(folder), Settings(view_definitions=folder)) as deployment:
        demo = DemoHapi(deployment.database, referential_integrity=False)
        demo.install()
        for number, logical_id in enumerate(("a", "b", "c")):
            demo.update(patient(logical_id, birthDate=f"197{number}-01-01", name=[{"family": "O'Neil"}]))
            demo.update(condition(f"c-{logical_id}", logical_id))
            demo.update(height(f"h-{logical_id}", logical_id, 170 + number))
        deployment.refresh()
        demo.update(patient("d", "female", birthDate="1980-05-05", name=[{"family": "Łuk"}]))
        demo.update(patient("a", "female", birthDate="1970-01-01"))
        demo.delete("Patient", "c")
        demo.update(height("h-d", "d", 181, issued="2026-01-01T08:00:00Z", effectiveDateTime="2026-01"))
        deployment.poller.poll()
    return Hospital(urls, folder, server_home)


@pytest.fixture(scope="session")
def demo_home() -> Iterator[Path]:
    """The folder of an embedded source that files are loaded into; that of other tests stays as it is."""
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    folder.chmod(0o755)
    embedded.start(folder, redis=False, settings=FAST)
    yield folder
    embedded.clean(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def at_hospital(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """The environment names the hospital."""
    for name, value in hospital.environment().items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    return hospital


@pytest.fixture
def deployment(at_hospital: Hospital) -> Iterator[Deployment]:
    """The hospital, opened as a script does."""
    with open_deployment() as opened:
        if opened.overlay.read_status().state is None:  # another test emptied Redis
            opened.poller.poll()
        yield opened


@pytest.fixture
def door(at_hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run a command, which must end as documented."""
    return make_door(capsys)
