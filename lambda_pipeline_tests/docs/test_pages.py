"""The pages as text: wrapped lines, links and anchors that exist, and what other places cite."""

import re
import tomllib
from pathlib import Path

import pytest

from lambda_pipeline_tests.model.mutants import MUTANTS
from lambda_pipeline_tests.support.servers import PROJECT

DOCS = PROJECT / "docs"
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted(DOCS.rglob("*.md")), *sorted((PROJECT / ".github").rglob("*.md"))]
WIDTH = 120
UNWRAPPED = {DOCS / "views.md"}
"""Pages that are still to be wrapped."""

INVARIANTS = [
    "Snapshots order everything",
    "Marks survive a crash",
    "One compiler, two layers",
    "A poll sees whole transactions",
    "Changes without a trace",
    "A generation is one snapshot",
    "One bad resource stops only itself",
    "A poll becomes visible at once",
    "Coverage is decided by snapshots",
    "Pruning takes nothing away",
    "The read order",
    "Gaps are seen",
    "Parity",
]
"""Headings of docs/guarantees.md that comments and docstrings cite."""


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def prose(page: Path) -> str:
    """The page without fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Anchors of headings, as GitHub and MkDocs make them, and those written as `<a id=...>`."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    slugs = {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', page.read_text()))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in UNWRAPPED], ids=name)
def test_lines_are_wrapped(page: Path) -> None:
    """Rows of tables cannot be wrapped, and output is shown as it is (indented by four)."""
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [number for number, line in lines if len(line) > WIDTH and not line.startswith(("|", "    "))] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_files_and_folders_that_are_named_exist(page: Path) -> None:
    """`speed/poll.py` is below lambda_pipeline, `mutants.py` in the model, `sql/roles.sql` below the checkout."""
    for named in re.findall(r"`((?:lambda_pipeline_tests|sql)/[\w./]+|(?:\w+/)*\w+\.(?:py|lua))`", prose(page)):
        places = (PROJECT / named, PROJECT / "lambda_pipeline" / named, PROJECT / "lambda_pipeline_tests/model" / named)
        assert any(place.exists() for place in places), named


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_anchors_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


def test_every_invariant_is_a_heading_with_an_example() -> None:
    text = (DOCS / "guarantees.md").read_text()
    for invariant in INVARIANTS:
        assert re.search(rf"^## {re.escape(invariant)}\n\n\*Example: ", text, re.MULTILINE), invariant


def test_the_number_of_seeded_mistakes_is_that_of_the_model() -> None:
    (number,) = re.findall(r"(\d+)\s+seeded\s+mistakes", (DOCS / "guarantees.md").read_text())
    assert int(number) == len(MUTANTS)


def test_sections_that_the_code_cites_exist() -> None:
    """Code cites them as: docs/guarantees.md, "The read order"."""
    headings = set(re.findall(r"^#+ (.+)$", (DOCS / "guarantees.md").read_text(), re.MULTILINE))
    for file in sorted((PROJECT / "lambda_pipeline").rglob("*.py")):
        text = re.sub(r"\s*\n\s*#?\s*", " ", file.read_text())
        for cited in re.findall(r'docs/guarantees\.md[,:]?\s*\(?"([^"]+)"', text):
            assert cited in headings, f"{file.name}: {cited}"


def test_every_term_of_the_argument_is_in_the_glossary_once() -> None:
    row = r'^\| <a id="([\w-]+)"></a>\*\*(.+?)\*\* \| (.+?) \| (.+?) \|$'
    terms = re.findall(row, (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(terms) >= 10
    assert len({term for _, term, _, _ in terms}) == len(terms)
    assert all(anchor == term.replace(" ", "-") for anchor, term, _, _ in terms)
    linked = set(re.findall(r"glossary\.md#([\w-]+)", (DOCS / "guarantees.md").read_text()))
    assert linked <= {anchor for anchor, _, _, _ in terms}
    assert len(linked) >= 15


def test_the_table_of_imports_is_the_contract() -> None:
    """docs/architecture.md shows the packages in the order in which import-linter allows imports."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (floors,) = [contract for contract in contracts if contract["id"] == "floors"]
    section = (DOCS / "architecture.md").read_text().split("## Packages and imports")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    shown = [" | ".join(re.findall(r"`(\w+)`", row)) for row in rows]
    assert shown == floors["layers"]
    for contract in contracts:
        assert contract["name"] in section, contract["name"]


def test_the_table_of_imports_names_every_package() -> None:
    packages = {path.stem for path in (PROJECT / "lambda_pipeline").iterdir() if path.suffix == ".py" or path.is_dir()}
    text = (DOCS / "architecture.md").read_text()
    assert all(f"`{package}`" in text for package in packages - {"__init__", "__pycache__"})


def test_every_page_is_in_the_site() -> None:
    navigation = (PROJECT / "mkdocs.yml").read_text()
    for page in sorted(DOCS.rglob("*.md")):
        assert f" {page.relative_to(DOCS)}\n" in navigation, page.name
