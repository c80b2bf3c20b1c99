"""The hospital that is behind every door, and the door of the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.cli.program import run
from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.programs import Result

MEASURED: dict[str, Any] = {
    "resourceType": "ViewDefinition", "name": "measured", "status": "active", "resource": "Observation",
    "select": [{"column": [
        {"name": "id", "path": "getResourceKey()", "type": "id"},
        {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
        {"name": "whole", "path": "value.ofType(integer)", "type": "integer"},
        {"name": "said", "path": "value.ofType(string)", "type": "string"},
        {"name": "flag", "path": "value.ofType(boolean)", "type": "boolean"},
        {"name": "clock", "path": "value.ofType(time)", "type": "time", "tag": [{"name": "ansi/type",
        "value": "TIME"}]},
        {"name": "day", "path": "effective.ofType(dateTime)", "type": "dateTime"},
        {"name": "issued", "path": "issued", "type": "instant"},
        {"name": "codes", "path": "code.coding.code", "type": "code", "collection": True},
        {"name": "small", "path": "value.ofType(Quantity).value", "tag": [{"name": "ansi/type",
        "value": "DECIMAL(8,2)"}]},
    ]}],
}  # fmt: skip
"""A column of every family of types."""

CODES = {0, 1, 2, 3, 4, 5}


@dataclass(frozen=True, slots=True)
class Hospital:
    """Where everything of one hospital is."""

    urls: ServerUrls
    views: Path
    home: Path

    def environment(self) -> dict[str, str]:
        return {
            "HAPI_DB_URL": self.urls.hapi_db,
            "REDIS_URL": self.urls.redis,
            "LAMBDA_PIPELINE_HOME": str(self.home),
            "LAMBDA_PIPELINE_VIEW_DEFINITIONS": str(self.views),
        }


def make_door(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        load_settings.cache_clear()
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err, (arguments, err)
        assert "this is a bug" not in err, (arguments, err)
        assert code in CODES, (arguments, code)
        ours = [line for line in err.splitlines() if line.startswith(("lambda-pipeline: ", "Error: "))]
        assert len(ours) <= 1, (arguments, err)
        if ours:
            assert code, (arguments, err)
            assert arguments[0] not in {"query", "sql"} or not out, (arguments, out)
        elif code:
            assert out or err, arguments
        return Result(code, out, err)

    return call
