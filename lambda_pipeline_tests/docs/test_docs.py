"""What the documentation names exists, and what exists is documented."""

import re
from pathlib import Path
from typing import get_args

import pytest

from lambda_pipeline import errors
from lambda_pipeline.errors import AnswerRefusedError
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import lint, load_views
from lambda_pipeline.views.functions import FUNCTIONS
from lambda_pipeline.views.view_tests import TestKind
from lambda_pipeline_tests.pipeline.test_refusals import REFUSALS

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    named = {name.lower() for name in re.findall(r"`(\w+)`", rows)}
    assert named == set(Settings.model_fields)


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.code)
def test_every_refusal_is_documented_with_what_was_missing_and_its_ways_out(kind: type[AnswerRefusedError]) -> None:
    text = (ROOT / "docs" / "questions.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{kind.code}` |")]
    _, exception, status, reason, missing, ways_out = [cell.strip() for cell in row.strip("| ").split(" | ")]
    assert (exception.strip("` "), int(status)) == (kind.__name__, kind.exit_code)
    assert reason
    assert missing == kind.missing
    assert ways_out.replace("`", "").split("; ") == list(kind.ways_out)


def test_every_function_of_fhirpath_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "views.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)\(", rows)) == set(FUNCTIONS)


def test_the_view_of_the_documentation_compiles() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "views.md").read_text(), re.DOTALL)
    assert lint(example, "views.md") == []


def test_the_tests_of_the_documentation_fit_its_view(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "views.md").read_text()
    (view,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tests,) = re.findall(r"```yaml\n(severity.*?)```", text, re.DOTALL)
    (tmp_path / "allergies.json").write_text(view)
    (tmp_path / "allergies.tests.yaml").write_text(tests)
    (found,) = load_views(tmp_path)
    assert found.tests is not None
    assert {case.kind for case in found.tests.cases()} == set(get_args(TestKind))


def test_code_and_exit_code_of_every_refusal_are_as_documented() -> None:
    text = (ROOT / "docs" / "questions.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)`[^|]*\| `(\w+)` \| (\d) \|", text, re.MULTILINE)
    assert len(rows) >= len(REFUSALS)
    for code, name, status in rows:
        error = getattr(errors, name)
        assert status == str(error.exit_code), name
        assert code in {error.code, *(each.code for each in error.__subclasses__())}, name
