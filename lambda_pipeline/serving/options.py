"""How a question is answered: the options that Python, the command line and the launchpad share."""

from dataclasses import dataclass
from typing import TypedDict

from lambda_pipeline.serving.answer import Mode


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The options of one question.

    Attributes:
        mode: `live`, `batch` or `source`.
        limit: how many rows to return at most; `row_count` counts all.
        freshness_target_s: how old the frontier of a live answer may be, in seconds. If it is older, the changes are
            read from HAPI's tables. None stands for the setting `freshness_target_s`, `math.inf` for any age.
        compare: for SQL: also say what the batch layer alone would answer, which runs the statement on both.
        accept_quarantined: answer even if resources of the views cannot be read. The answer names them; if this is off,
            the question is refused.
    """

    mode: Mode = "live"
    limit: int | None = None
    freshness_target_s: float | None = None
    compare: bool = False
    accept_quarantined: bool = True


class OptionValues(TypedDict, total=False):
    """The same options as keyword arguments; see `ReadOptions`."""

    mode: Mode
    limit: int | None
    freshness_target_s: float | None
    compare: bool
    accept_quarantined: bool


DEFAULTS = ReadOptions()
