"""A small hospital behind the environment variables, and the program run in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.cli.program import run
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.settings import load_settings

SNOMED = "http://snomed.info/sct"
DIABETES = "44054006"


@dataclass(frozen=True, slots=True)
class Result:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what was wrong."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("lambda-pipeline: ")]
        return line


Program = Callable[..., Result]


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
            patient("adam", "male", "1950-01-31"),
            patient("bert", "male", "1960"),
            patient("carl", "male", "1970-05-05"),
            patient("dora", "female", "1980-05-05"),
            patient("eva", "female", "1990-05-05"),
            condition("c-adam", "adam"),
            condition("c-bert", "bert"),
            condition("c-dora", "dora"),
        ]
    )
    return empty_hapi


@pytest.fixture
def published(hapi: DemoHapi, program: Program) -> DemoHapi:
    """The small hospital after its first night, with the speed layer at work."""
    assert program("refresh").code == 0
    assert program("poll").code == 0
    return hapi


def patient(logical_id: str, gender: str, born: str = "1970-01-01", **more: Any) -> dict[str, Any]:
    """A patient with a name that needs quoting in CSV."""
    name = [{"use": "official", "family": f"O'{logical_id}, {logical_id}", "given": [logical_id]}]
    return {"resourceType": "Patient", "id": logical_id, "gender": gender, "birthDate": born, "name": name, **more}


def condition(logical_id: str, patient_id: str, code: str = DIABETES, **more: Any) -> dict[str, Any]:
    """A confirmed condition."""
    return {
        "resourceType": "Condition",
        "id": logical_id,
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": SNOMED, "code": code}], "text": "Diabetes"},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        **more,
    }
