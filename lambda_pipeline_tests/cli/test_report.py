"""`report`: the page that an operator opens."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import psycopg
import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.cli.test_view_pages import Page
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program


def sections(text: str) -> dict[str, str]:
    """The HTML of each section, by its heading."""
    parts = re.findall(r"<section>\n<h2>(.*?)</h2>\n(.*?)\n</section>", text, re.DOTALL)
    return dict(parts)


def write(program: Program, folder: Path) -> str:
    file = folder / "report.html"
    assert program("report", "--out", str(file)).code == 0
    return file.read_text()


def test_the_page_shows_a_day_and_loads_nothing(published: DemoHapi, program: Program, tmp_path: Path) -> None:
    published.load([named_patient("fred", "male", "1950-01-31")])
    assert program("refresh").code == 0
    published.load([named_patient("gerd", "male", "1950-01-31")])
    published.load([{"resourceType": "Patient", "id": "odd", "gender": ["male"]}])
    assert program("poll").code == 0
    text = write(program, tmp_path)
    page = Page(text)
    assert not page.open
    assert not page.loaded
    assert "<script" not in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    found = sections(text)
    assert list(found) == ["Freshness", "Overlay by type", "Refreshes", "Parity", "Quarantine", "Biggest views"]
    assert "2 (incremental), valid as of" in found["Freshness"]
    assert "Patient: 2" in found["Overlay by type"]
    assert found["Refreshes"].count("generation 2 (incremental)") == 3, "seconds, rows, changes"
    assert "generation 1 (full)" in found["Refreshes"]
    assert "1 changes" in found["Refreshes"]
    assert "<td>patient_simple</td><td>batch</td><td>6</td><td>0</td>" in found["Parity"]
    assert "<td>patient_simple</td><td>1</td><td>Patient/odd</td>" in found["Quarantine"]
    assert "<td>patient_simple</td><td>6</td><td>6</td>" in found["Biggest views"]
    assert "fred" not in text
    charts = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(charts) == 3


def test_a_longer_bar_is_more(published: DemoHapi, program: Program, tmp_path: Path) -> None:
    published.load([named_patient(f"p{number}", "male", "1950-01-31") for number in range(4)])
    published.load([{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/adam"}}])
    assert program("poll").code == 0
    bars = re.findall(r'width="([\d.]+)" height="16.0"[^>]*><title>(\w+): (\d)', sections(write(program, tmp_path))[
        "Overlay by type"])  # fmt: skip
    (patients, conditions) = bars
    assert patients[1:] == ("Patient", "4")
    assert conditions[1:] == ("Condition", "1")
    assert float(patients[0]) == pytest.approx(4 * float(conditions[0]), rel=0.01)


def test_what_is_wrong_is_on_the_page(
    published: DemoHapi, program: Program, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE sqlonfhir.patient_simple__1 SET gender = 'swordfish' WHERE _id = 'bert'")
    assert program("parity").code == 1
    text = write(program, tmp_path)
    assert "<td>batch</td><td>5</td><td>1</td><td>Patient/bert</td>" in sections(text)["Parity"]
    assert "swordfish" not in text
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")
    found = sections(write(program, tmp_path))
    assert "No comparison can be shown" in found["Parity"]
    assert "gap of the overlay" in found["Freshness"]


def test_before_the_first_refresh_the_page_says_so(empty_hapi: DemoHapi, program: Program, tmp_path: Path) -> None:
    text = write(program, tmp_path)
    assert '<strong class="bad">unhealthy</strong>' in text
    assert "No generation has been published." in sections(text)["Refreshes"]
    assert program("report", "--out", str(tmp_path / "no" / "folder.html")).code == 3
