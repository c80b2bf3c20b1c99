"""Processes are found by what they carry, and ended with all their descendants; strangers are left alone."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.development import process_group

MARK = "LAMBDA_PIPELINE_TEST_MARK=a"
FAMILY = """
import signal, subprocess, sys, time
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({file!r}, "w").write(str(child.pid))
time.sleep(60)
"""


@pytest.fixture
def groups() -> Iterator[list[int]]:
    """Groups to end after the test, whatever happened."""
    started: list[int] = []
    yield started
    for group in started:
        process_group.end(group, MARK)


def family(groups: list[int], tmp_path: Path, *, mark: str = MARK, stubborn: bool = False) -> tuple[int, int]:
    """A parent and its child, as process ids; the parent leads the group."""
    file = tmp_path / f"child-{len(groups)}"
    name, value = mark.split("=")
    program = FAMILY.format(file=str(file), stubborn=stubborn)
    environment = {**os.environ, name: value}
    leader = process_group.launch(["-c", program], cwd=tmp_path, env=environment, output=None)
    groups.append(leader.pid)
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return leader.pid, int(file.read_text())


def lives(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_a_group_is_ended_with_its_children(groups: list[int], tmp_path: Path) -> None:
    leader, child = family(groups, tmp_path)
    assert process_group.alive(leader, MARK)
    assert process_group.end(leader, MARK)
    assert not lives(leader)
    assert not lives(child)
    assert not process_group.end(leader, MARK)


def test_children_are_found_after_their_leader_was_killed(groups: list[int], tmp_path: Path) -> None:
    leader, child = family(groups, tmp_path)
    os.kill(leader, 9)
    deadline = time.monotonic() + 10
    while lives(leader):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process_group.alive(leader, MARK)
    assert process_group.end(leader, MARK)
    assert not lives(child)


def test_who_does_not_listen_is_killed(groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "TERM_S", 0.5)
    leader, _ = family(groups, tmp_path, stubborn=True)
    assert process_group.end(leader, MARK)
    assert not lives(leader)


def test_a_stranger_with_the_same_number_is_left_alone(groups: list[int], tmp_path: Path) -> None:
    leader, child = family(groups, tmp_path)
    assert not process_group.alive(leader, "LAMBDA_PIPELINE_TEST_MARK=b")
    assert not process_group.end(leader, "LAMBDA_PIPELINE_TEST_MARK=b")
    assert lives(leader)
    assert lives(child)
