"""A home per test, and processes that start servers in it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambda_pipeline.development import embedded
from lambda_pipeline_tests.support.servers import PROJECT


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder every account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_home(place: Path) -> Iterator[Path]:
    """A home without anything, not even a folder; whatever runs in it afterwards is stopped and removed."""
    folder = place / "home"
    yield folder
    embedded.clean(folder)


@pytest.fixture(scope="session")
def stopped_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_tests_"))
    folder.chmod(0o755)
    home = folder / "home"
    embedded.start(home, redis=False)
    embedded.stop(home)
    yield home
    embedded.clean(home)
    folder.rmdir()


@pytest.fixture
def home(new_home: Path, stopped_home: Path) -> Path:
    """A home whose PostgreSQL was stopped, with empty databases: a copy, since making a cluster takes longest."""
    subprocess.run(["/bin/cp", "-a", stopped_home, new_home], check=True)
    return new_home


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`python(script, *arguments, **options)`: the script in a process of its own, with this interpreter."""
    begun: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: servers under another account")
