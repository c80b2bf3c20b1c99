"""The answer to a question: its rows, and what is known about them.

What decides whether an answer may be given belongs in `read`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from lambda_pipeline.views.view import Column

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["live", "batch", "source"]
"""`live`: batch and speed merged; `batch`: the published generation alone; `source`: a recompute from HAPI's tables."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How the rows of an answer divide between batch and speed; counted after the filters, before the limit.

    Attributes:
        total: rows of the answer: `batch_count + added - removed`.
        batch_count: rows that the batch layer alone would give.
        speed_count: entries of the overlay, for the views asked, that the generation does not cover.
        overlap_count: how many of them replace rows of the batch layer.
        added: rows of the answer that the batch layer lacks.
        removed: rows of the batch layer that the answer lacks.
    """

    total: int
    batch_count: int
    speed_count: int
    overlap_count: int
    added: int
    removed: int

    def __post_init__(self) -> None:
        if any(number < 0 for number in asdict(self).values()):
            raise ValueError(f"a count below zero: {self}")
        if self.total != self.batch_count + self.added - self.removed:
            raise ValueError(f"total is not batch_count + added - removed: {self}")
        if self.overlap_count > self.speed_count:
            raise ValueError(f"more entries overlap than there are: {self}")


@dataclass(frozen=True, slots=True)
class QuarantinedResource:
    """A resource that has no rows in a view because it cannot be read.

    Attributes:
        view: the view it is missing from.
        resource: its key, as in `Observation/123`.
        reason: why it cannot be read, without any of its content.
    """

    view: str
    resource: str
    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, with the values of filters and parameters.

    These may tell of a patient: a question belongs beside the rows, and never into logs, metadata of runs or errors.

    Attributes:
        content: ready for JSON. Of a view: `view`, `columns` (empty: all) and `where`; of SQL: `sql` as written, and
            `parameters` by name; of both the options. Decimals, dates and bytes are text, so that no digit is lost.
    """

    content: Mapping[str, Any] = field(repr=False)

    @property
    def sha256(self) -> str:
        """64 hex digits over the content as JSON with sorted keys, without spaces, in UTF-8."""
        text = json.dumps(self.content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of one question at one frontier.

    Attributes:
        rows: the rows after the limit, as plain values (`lambda_pipeline.serving.results`) in the order of `columns`.
        columns: names and PostgreSQL types.
        row_count: rows of the answer after the merge and the filters, before the limit.
        valid_as_of: the frontier, in UTC: every change committed before it is in the answer.
        generation: number of the batch generation it was read from; None for `source`.
        mode: how it was computed.
        sources: where rows came from, such as `("batch generation 3", "overlay")` or `("hapi",)`.
        counts: batch and speed; None where they are not counted (SQL without `compare`, `source`).
        quarantined: resources that are missing from the views asked; empty means none is.
        notes: what else a reader must know, in sentences.
        seconds: time it took.
        question: what was asked, values included; it goes into the manifest beside the rows, and nowhere else.
        digests: of the definitions of the views that were read, by name; see `View.digest`.
    """

    rows: Sequence[tuple[Any, ...]] = field(repr=False)
    columns: tuple[Column, ...]
    row_count: int
    valid_as_of: datetime
    generation: int | None
    mode: Mode
    sources: tuple[str, ...]
    counts: Counts | None = None
    quarantined: tuple[QuarantinedResource, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    question: Question | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    _frames: list["pd.DataFrame"] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.valid_as_of.utcoffset() != timedelta(0):
            raise ValueError("valid_as_of is not in UTC")
        if self.rows and len(self.rows[0]) != len(self.columns):
            raise ValueError("the rows have other columns than the answer")
        if len(self.rows) > self.row_count:
            raise ValueError("there are more rows than the answer has")
        if self.counts is not None and self._counted(self.counts) != self.row_count:
            raise ValueError("row_count is not what the counts say")

    def _counted(self, counts: Counts) -> int:
        """The number of rows that there must be by the counts."""
        return counts.total

    @property
    def frame(self) -> "pd.DataFrame":
        """The rows as a frame, always the same one, with the types of `lambda_pipeline.serving.frames`."""
        if not self._frames:
            from lambda_pipeline.serving.frames import to_frame  # noqa: PLC0415 (imports pandas)

            self._frames.append(to_frame(self.rows, self.columns))
        return self._frames[0]

    def summary(self) -> dict[str, Any]:
        """What is known about the rows, ready for JSON: for manifests, run metadata and logs.

        It holds no patient data apart from the keys of quarantined resources. `valid_as_of` is ISO 8601 in UTC,
        `seconds` is rounded to milliseconds, `rows` is their number after the limit.
        """
        return {
            "mode": self.mode,
            "valid_as_of": self.valid_as_of.astimezone(UTC).isoformat(),
            "generation": self.generation,
            "sources": list(self.sources),
            "row_count": self.row_count,
            "rows": len(self.rows),
            "counts": asdict(self.counts) if self.counts is not None else None,
            "quarantined": [asdict(each) for each in self.quarantined],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }
