"""How a question is answered: the options that Python, the command line and the launchpad share."""

from dataclasses import dataclass
from typing import TypedDict, get_args

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.answer import Mode


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The options of one question.

    Attributes:
        mode: `live`, `batch` or `source`.
        limit: how many rows to return at most; `row_count` counts all.
        freshness_target_s: how old the frontier of a live answer may be, in seconds. If it is older, the changes are
            read from HAPI's tables. None stands for the setting `freshness_target_s`, `math.inf` for any age.
        compare: for SQL: also say what the batch layer alone would answer, which runs the statement on both; not with
            mode `source`, which reads neither layer.
        accept_quarantined: answer even if resources of the views cannot be read. The answer names them; if this is off,
            the question is refused.

    Raises:
        BadRequestError: an unknown mode, compare with mode source, or a number that cannot be.
    """

    mode: Mode = "live"
    limit: int | None = None
    freshness_target_s: float | None = None
    compare: bool = False
    accept_quarantined: bool = True

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise BadRequestError(f"unknown mode {str(self.mode)[:80]}", hint=", ".join(get_args(Mode)))
        if self.compare and self.mode == "source":
            raise BadRequestError(
                "compare with mode source: a recompute from HAPI's tables has no batch layer to compare with",
                hint="leave compare out, or ask with mode live",
            )
        if self.limit is not None and not (type(self.limit) is int and 0 <= self.limit < 2**63):
            raise BadRequestError("limit is neither None nor a whole number of at least 0")
        age = self.freshness_target_s
        if age is not None and not (type(age) in {int, float} and age >= 0):
            raise BadRequestError("freshness_target_s is neither None nor a number of at least 0")
        if not (type(self.compare) is bool and type(self.accept_quarantined) is bool):
            raise BadRequestError("compare and accept_quarantined are True or False")


class OptionValues(TypedDict, total=False):
    """The same options as keyword arguments; see `ReadOptions`."""

    mode: Mode
    limit: int | None
    freshness_target_s: float | None
    compare: bool
    accept_quarantined: bool


DEFAULTS = ReadOptions()
