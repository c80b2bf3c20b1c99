"""Processes are found by what they carry, and ended with all their descendants; strangers are left alone."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.development import processes

VARIABLE = "LAMBDA_PIPELINE_TEST=a"
FAMILY = """
import signal, subprocess, sys, time
# Children inherit whether SIGTERM is ignored, and some test runners ignore it: every stop would wait for its limit.
signal.signal(signal.SIGTERM, signal.SIG_IGN if {stubborn} else signal.SIG_DFL)
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
        processes.stop_group(group, VARIABLE)


def family(groups: list[int], tmp_path: Path, *, variable: str = VARIABLE, stubborn: bool = False) -> tuple[int, int]:
    """A parent and its child, as process ids; the parent leads the group."""
    file = tmp_path / f"child-{len(groups)}"
    name, value = variable.split("=")
    program = FAMILY.format(file=str(file), stubborn=stubborn)
    environment = {**os.environ, name: value}
    leader = processes.start_group(["-c", program], cwd=tmp_path, env=environment, output=None)
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
    assert processes.group_is_alive(leader, VARIABLE)
    assert processes.stop_group(leader, VARIABLE)
    assert not lives(leader)
    assert not lives(child)
    assert not processes.stop_group(leader, VARIABLE)


def test_children_are_found_after_their_leader_was_killed(groups: list[int], tmp_path: Path) -> None:
    leader, child = family(groups, tmp_path)
    os.kill(leader, 9)
    deadline = time.monotonic() + 10
    while lives(leader):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert processes.group_is_alive(leader, VARIABLE)
    assert processes.stop_group(leader, VARIABLE)
    assert not lives(child)


def test_who_does_not_listen_is_killed(groups: list[int], tmp_path: Path) -> None:
    leader, _ = family(groups, tmp_path, stubborn=True)
    assert processes.stop_group(leader, VARIABLE, term_s=0.5)
    assert not lives(leader)


def test_a_stranger_with_the_same_number_is_left_alone(groups: list[int], tmp_path: Path) -> None:
    leader, child = family(groups, tmp_path)
    assert not processes.group_is_alive(leader, "LAMBDA_PIPELINE_TEST=b")
    assert not processes.stop_group(leader, "LAMBDA_PIPELINE_TEST=b")
    assert lives(leader)
    assert lives(child)
