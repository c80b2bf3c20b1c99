"""A small hospital behind the environment variables, and the program run in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.cli.program import run
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.hospital import confirmed_condition, named_patient
from lambda_pipeline_tests.support.programs import Program, Result


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    """`program("query", "patient_simple", "--count")`: run a command with the environment as it is."""

    def call(*arguments: str) -> Result:
        load_settings.cache_clear()
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Result(code, out, err)

    return call


@pytest.fixture
def empty_hapi(
    database_url: str, redis_url: str, server_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DemoHapi]:
    """HAPI's tables without a resource, named by HAPI_DB_URL, and an empty Redis named by REDIS_URL."""
    monkeypatch.setenv("HAPI_DB_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(server_home))
    database = Database(database_url)
    demo = DemoHapi(database, referential_integrity=False)
    demo.install()
    yield demo
    database.close()


@pytest.fixture
def hapi(empty_hapi: DemoHapi) -> DemoHapi:
    """Three men and two women; two of the men and one of the women have diabetes."""
    empty_hapi.load(
        [
            named_patient("adam", "male", "1950-01-31"),
            named_patient("bert", "male", "1960"),
            named_patient("carl", "male", "1970-05-05"),
            named_patient("dora", "female", "1980-05-05"),
            named_patient("eva", "female", "1990-05-05"),
            confirmed_condition("c-adam", "adam"),
            confirmed_condition("c-bert", "bert"),
            confirmed_condition("c-dora", "dora"),
        ]
    )
    return empty_hapi


@pytest.fixture
def published(hapi: DemoHapi, program: Program) -> DemoHapi:
    """The small hospital after its first night, with the speed layer at work."""
    assert program("refresh").code == 0
    assert program("poll").code == 0
    return hapi
