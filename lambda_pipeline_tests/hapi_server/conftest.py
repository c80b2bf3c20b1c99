"""The real server is built once for a session; where that cannot be done, its tests are skipped and say why."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline_tests.hapi_server.server import Built, CannotBuildError, build


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """The compiled server."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield build(Path(folder))
        except CannotBuildError as error:
            pytest.skip(f"no real HAPI: {error}")
