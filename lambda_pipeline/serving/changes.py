"""The answer that consists of changes: rows of a view that came and went since the published generation.

How rows are compared is decided in `merge`, when an answer may be given in `read`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.answer import Answer, Counts
from lambda_pipeline.serving.options import ReadOptions
from lambda_pipeline.views.view import Column

CHANGE_COLUMNS = (Column("_change", "text"), Column("_id", "text"))
"""What stands before the columns of the view; no column of a view begins with an underscore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes(Answer):
    """The difference between the merged rows of a view and its batch rows, at one frontier.

    `_change` is `added` or `removed`, `_id` the logical id of the resource (with `@` and the partition where it has
    one): the rows of one id are what one resource lost and gained. `row_count` is `counts.added + counts.removed`;
    `counts.total` and `counts.batch_count` are the rows of the view with the same filters, now and in the generation.

    Attributes:
        since: the moment of the generation, in UTC: changes committed before it are not shown.
    """

    since: datetime

    def _counted(self, counts: Counts) -> int:
        return counts.added + counts.removed

    def summary(self) -> dict[str, Any]:
        """As that of an answer, with `since` in ISO 8601."""
        return {**Answer.summary(self), "since": self.since.astimezone(UTC).isoformat()}


def check_options_of_changes(options: ReadOptions) -> None:
    """Check that changes can be asked for with these options.

    Raises:
        BadRequestError: another mode than live, which alone has both sides.
    """
    if options.mode != "live":
        raise BadRequestError(
            "changes are those of the merged rows since the published generation: their mode is live",
            hint="query answers in the others",
        )
