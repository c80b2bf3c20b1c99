"""An answer says what it is, and cannot contradict itself."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lambda_pipeline.serving.answer import Answer, Counts, QuarantinedResource
from lambda_pipeline.views.view import Column

COLUMNS = (Column("family", "text"),)
COUNTS = Counts(total=3, batch_count=2, speed_count=5, overlap_count=1, added=2, removed=1)


def answer(**changes: Any) -> Answer:
    values: dict[str, Any] = {
        "rows": [("Chalmers",)], "columns": COLUMNS, "row_count": 3,
        "valid_as_of": datetime(2026, 1, 31, 8, tzinfo=UTC), "generation": 3, "mode": "live",
        "sources": ("batch generation 3", "overlay"), "counts": COUNTS,
        "quarantined": (QuarantinedResource("labs", "Observation/1", "22P02"),), "notes": ("a note",),
        "seconds": 0.12345,
    }  # fmt: skip
    return Answer(**(values | changes))


def test_the_summary_is_json_and_holds_no_rows() -> None:
    text = json.dumps(answer().summary())
    assert "Chalmers" not in text
    assert json.loads(text) == {
        "mode": "live", "valid_as_of": "2026-01-31T08:00:00+00:00", "generation": 3,
        "sources": ["batch generation 3", "overlay"], "row_count": 3, "rows": 1,
        "counts": {"total": 3, "batch_count": 2, "speed_count": 5, "overlap_count": 1, "added": 2, "removed": 1},
        "quarantined": [{"view": "labs", "resource": "Observation/1", "reason": "22P02"}],
        "notes": ["a note"], "seconds": 0.123,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"row_count": 0},
        {"row_count": 4},
        {"valid_as_of": datetime(2026, 1, 31, 8)},  # noqa: DTZ001 (a naive moment is the point)
        {"valid_as_of": datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=1)))},
        {"columns": (*COLUMNS, Column("given", "text"))},
    ],
)
def test_an_answer_that_contradicts_itself_is_no_answer(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"UTC|columns|rows|row_count"):
        answer(**changes)


@pytest.mark.parametrize("numbers", [(4, 2, 5, 1, 2, 1), (3, 2, 0, 1, 2, 1), (-1, 0, 0, 0, 0, 1)])
def test_counts_add_up(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"count|overlap"):
        Counts(*numbers)


def test_pandas_is_imported_for_a_frame_and_for_nothing_else() -> None:
    code = "import sys, lambda_pipeline.api, lambda_pipeline.cli.questions; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    one = answer()
    assert one.frame is one.frame
    assert one.frame["family"].tolist() == ["Chalmers"]
