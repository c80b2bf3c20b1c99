"""What the documentation names exists, and what exists is documented."""

import re
from pathlib import Path

import pytest

from lambda_pipeline import errors
from lambda_pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    named = {name.lower() for name in re.findall(r"`(\w+)`", rows)}
    assert named == set(Settings.model_fields)


def test_every_refusal_is_documented() -> None:
    text = (ROOT / "docs" / "questions.md").read_text()
    for error in errors.AnswerRefusedError.__subclasses__():
        assert f"`{error.code}`" in text, error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
