"""A file of the view definitions that does not compile: the other views go on, and so does what is published of it."""

import json
import shutil
from pathlib import Path

import pytest

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.settings import sql_directory
from lambda_pipeline_tests.support.hospital import confirmed_condition, named_patient
from lambda_pipeline_tests.support.programs import Program

NAMES = ("patient_simple", "condition_simple")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with two definitions."""
    made = tmp_path / "views"
    made.mkdir()
    for name in NAMES:
        shutil.copy(sql_directory() / "view_definitions" / f"{name}.json", made)
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(made))
    return made


@pytest.fixture
def two_views(folder: Path, published: DemoHapi) -> DemoHapi:
    """The small hospital with these two views published."""
    return published


def misspell(file: Path) -> None:
    """Misspell an element in the first path."""
    definition = json.loads(file.read_text())
    definition["select"][0]["column"][1]["path"] = "gendre"
    file.write_text(json.dumps(definition))


def count(program: Program, view: str, *options: str) -> int:
    asked = program("query", view, "--count", *options)
    assert asked.code == 0, asked.err
    return int(asked.out)


def states(program: Program) -> dict[str, str]:
    return {view["name"]: view["state"] for view in json.loads(program("status", "--json").out)["views"]}


def test_a_broken_file_leaves_its_published_view_asked_and_captured(
    two_views: DemoHapi, program: Program, folder: Path
) -> None:
    misspell(folder / "patient_simple.json")
    two_views.load([named_patient("fritz", "male"), confirmed_condition("c-fritz", "fritz")])
    assert program("poll").out.startswith("captured 2 changes")
    assert count(program, "condition_simple") == 4
    asked = program("query", "patient_simple", "--count")
    assert (asked.code, int(asked.out)) == (0, 6)
    assert (
        "warning: patient_simple.json: $.select[0].column[1].path: Patient has no element 'gendre' in R4 (4.0.1)"
        in asked.err
    )
    assert count(program, "patient_simple", "--mode", "source") == 6


def test_a_refresh_with_a_broken_file_publishes_all_views_and_says_so(
    two_views: DemoHapi, program: Program, folder: Path
) -> None:
    misspell(folder / "patient_simple.json")
    two_views.load([named_patient("fritz", "male"), confirmed_condition("c-fritz", "fritz")])
    done = program("refresh")
    assert done.code == 1
    assert done.out.startswith("generation 2 (incremental, 2 changed resources)")
    assert "not refreshed as defined: view patient_simple: its last published definition is served" in done.err
    assert {view: count(program, view, "--mode", "batch") for view in NAMES} == {
        "patient_simple": 6,
        "condition_simple": 4,
    }
    assert program("parity", "--all").code == 0
    assert program("refresh", "--full").code == 1
    assert count(program, "patient_simple", "--mode", "batch") == 6


def test_status_and_check_name_the_broken_file(two_views: DemoHapi, program: Program, folder: Path) -> None:
    misspell(folder / "patient_simple.json")
    asked = program("status")
    assert asked.code == 1
    assert "unhealthy: view patient_simple: its last published definition is served: patient_simple.json" in asked.err
    assert states(program) == {"patient_simple": "broken", "condition_simple": "published"}
    checked = program("check")
    assert checked.code == 1
    assert "fail views: patient_simple.json: $.select[0].column[1].path" in checked.out
    assert "ok   views: 1 definitions in" in checked.out
    assert program("views", "list").code == 0


def test_a_broken_file_of_a_new_view_stops_nothing(two_views: DemoHapi, program: Program, folder: Path) -> None:
    shutil.copy(folder / "patient_simple.json", folder / "men.json")
    definition = json.loads((folder / "men.json").read_text()) | {"name": "men", "whre": []}
    (folder / "men.json").write_text(json.dumps(definition))
    done = program("refresh")
    assert (done.code, done.out.splitlines()[0][:12]) == (1, "generation 2")
    assert "view men: nothing is published of it: men.json: $.whre" in done.err
    assert states(program) == {"men": "broken", "patient_simple": "published", "condition_simple": "published"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b"[]"])
def test_a_file_that_says_no_name_retires_no_view(
    two_views: DemoHapi, program: Program, folder: Path, content: bytes
) -> None:
    (folder / "patient_simple.json").rename(folder / "people.json")
    (folder / "people.json").write_bytes(content)
    two_views.load([named_patient("fritz", "male")])
    assert program("refresh").code == 1
    assert count(program, "patient_simple", "--mode", "batch") == 6
    assert states(program) == {"people": "broken", "patient_simple": "broken", "condition_simple": "published"}


def test_a_removed_file_retires_its_view_also_beside_a_broken_one(
    two_views: DemoHapi, program: Program, folder: Path
) -> None:
    (folder / "condition_simple.json").unlink()
    misspell(folder / "patient_simple.json")
    assert program("refresh").code == 1
    assert states(program) == {"patient_simple": "broken", "condition_simple": "retired"}


def test_of_two_files_with_one_name_neither_replaces_the_published_view(
    two_views: DemoHapi, program: Program, folder: Path
) -> None:
    definition = json.loads((folder / "patient_simple.json").read_text())
    del definition["select"][0]["column"][1:]
    (folder / "other.json").write_text(json.dumps(definition | {"name": "Patient_Simple"}))
    done = program("refresh")
    assert done.code == 1
    assert "patient_simple.json: $.name: other.json has a view of this name too" in done.err
    assert "other.json: $.name: patient_simple.json has a view of this name too" in done.err
    assert program("query", "patient_simple", "--columns", "gender", "--count").code == 0


def test_an_empty_or_missing_folder_retires_no_view(two_views: DemoHapi, program: Program, folder: Path) -> None:
    for name in NAMES:
        (folder / f"{name}.json").unlink()
    emptied = program("refresh")
    assert emptied.code == 5
    assert "would retire every view" in emptied.complaint
    folder.rmdir()
    missing = program("refresh")
    assert missing.code == 2
    assert "is not a folder" in missing.complaint


def test_a_repaired_file_is_healthy_again(two_views: DemoHapi, program: Program, folder: Path) -> None:
    file = folder / "patient_simple.json"
    before = file.read_bytes()
    misspell(file)
    assert program("refresh").code == 1
    file.write_bytes(before)
    assert program("refresh").code == 0
    assert program("status").code == 0
