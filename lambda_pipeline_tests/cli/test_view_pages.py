"""`views docs` and `views new`, as an author uses them; no server is asked."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.support.programs import Program


class Page(HTMLParser):
    """What a browser would show and load: cells of tables, targets of links, addresses, and tags left open."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values["id"]} if values.get("id") else set()
        self.links += [values["href"]] if tag == "a" and values.get("href") else []
        self.loaded += [value for key, value in attrs if key in ("src", "srcset") or (key == "href" and tag == "link")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


@pytest.fixture
def written(program: Program, tmp_path: Path) -> Path:
    assert program("views", "docs", "--out", str(tmp_path / "made" / "pages")).code == 0
    return tmp_path / "made" / "pages"


def test_the_dictionary_has_every_view_and_column_with_what_they_mean(written: Path) -> None:
    text, markdown = (written / "views.html").read_text(), (written / "views.md").read_text()
    page = Page(text)
    assert not page.open
    assert not page.loaded
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    for view in load_views(load_settings().view_definitions):
        assert view.name in page.ids
        assert f"\n## {view.name}\n" in markdown
        for column in view.columns:
            assert column.name in page.cells
            assert column.description == "" or " ".join(column.description.split()) in page.cells
            assert f"| `{column.name}` | {column.type} |" in markdown
    assert "each name.first() > given.first()" in page.cells
    assert "gender: one of male, female, other, unknown" in text
    assert "contract: id text, patient_id text" in text


def test_equal_definitions_give_equal_files(written: Path, program: Program, tmp_path: Path) -> None:
    assert program("views", "docs", "--out", str(tmp_path / "again")).code == 0
    for name in ("views.html", "views.md"):
        assert (written / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_description_cannot_break_the_page(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<script>alert(1)</script> | `x` [y](javascript:z)"
    view = json.loads(program("views", "new", "Patient").out)
    view["select"][0]["column"][0]["description"] = view["description"] = hostile
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "patient.json").write_text(json.dumps(view))
    (tmp_path / "views" / "other.json").write_text("{")
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(tmp_path / "views"))
    made = program("views", "docs", "--out", str(tmp_path))
    assert made.code == 0
    assert "other.json" in made.err
    assert hostile in Page((tmp_path / "views.html").read_text()).cells
    markdown = (tmp_path / "views.md").read_text()
    assert "<script>" not in markdown
    assert "`x`" not in markdown
    assert "[y](" not in markdown.replace("\\[y](", "")
    assert "other.json" in markdown


def test_a_new_view_is_accepted_by_lint(program: Program, tmp_path: Path) -> None:
    made = program("views", "new", "Immunization", "--fhir", "R5", "--name", "shots")
    assert made.code == 0
    file = tmp_path / "shots.json"
    file.write_text(made.out)
    linted = program("views", "lint", str(file))
    assert (linted.code, linted.out) == (0, "")
    refused = program("views", "new", "Imunization")
    assert refused.code == 3
    assert "did you mean Immunization?" in refused.err
    assert program("views", "docs", "--out", str(file / "x")).code == 3
