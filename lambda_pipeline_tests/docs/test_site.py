"""The documentation site builds, and is complete without other hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path

from lambda_pipeline_tests.support.servers import PROJECT


def test_it_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """`--strict` turns a link or an anchor that leads nowhere, and a page outside the navigation, into an error."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"((?:https?:)?//[^\"]+)", page.read_text())
        assert loaded == [], page.name


def test_make_setup_ends_by_saying_where_the_command_is() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    recipe = makefile.split("\nsetup: ")[1].split("\n\n")[0]
    assert "$(PROGRAM)" in recipe
    assert "source $(VENV)/bin/activate" in recipe


def test_the_hooks_of_pre_commit_are_those_of_make_lint_and_name_no_host() -> None:
    hooks = (PROJECT / ".pre-commit-config.yaml").read_text()
    lint = (PROJECT / "Makefile").read_text().split("\nlint: ")[1].split("\n\n")[0]
    for program in ("ruff check", "ruff format", "mypy", "lint-imports", "codespell"):
        assert f"/bin/{program}" in lint, program
        assert f".venv/bin/{program}" in hooks, program
    assert "repo: local" in hooks
    assert "://" not in hooks
