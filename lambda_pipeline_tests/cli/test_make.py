"""The Makefile and .ci/run: what they promise, as far as it can be seen without a network."""

import os
import re
import subprocess

import pytest

from lambda_pipeline_tests.support.servers import PROJECT

TARGETS = ("setup", "demo", "test", "test-model", "docs", "soak", "dev", "stop", "clean", "lint", "lock", "bench")


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_alone_lists_every_target() -> None:
    listed = dict(re.findall(r"^  make ([\w-]+)\s+(\S.*)$", make(), flags=re.MULTILINE))
    assert set(TARGETS) <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("demo",), "lambda-pipeline demo"),
        (("dev", "PORT=3111"), "lambda-pipeline dev --port 3111"),
        (("test", "TESTS=here"), "-m pytest here"),
        (("test-model",), "-m pytest lambda_pipeline_tests/model -m campaign"),
        (("docs",), "mkdocs"),
        (("soak", "MINUTES=5", "SEED=7"), "-m lambda_pipeline_tests.model soak --minutes 5 --seed 7"),
        (("stop",), "lambda-pipeline stop"),
        (("clean",), "lambda-pipeline clean"),
        (("bench",), "-m benchmarks"),
        (("lint",), "mypy"),
    ],
)
def test_a_target_runs_its_command(arguments: tuple[str, ...], command: str) -> None:
    assert command in make("--dry-run", *arguments)


def test_ci_is_a_script_that_bash_understands() -> None:
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert [f"run make {target}" in text for target in ("setup", "lint", "docs", "test", "test-model", "demo")] == [
        True
    ] * 6
