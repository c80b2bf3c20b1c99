"""Every error this project raises on purpose, and the exit code of a command that ends with it.

One hierarchy: a `LambdaPipelineError` names the thing, what is wrong with it, and what to do about it. A message never
carries patient data: it names resources by key, columns, files and servers. `code` is stable and may be matched by
programs; `exit_code` is what `lambda-pipeline` ends with.

    0 done   1 unhealthy or failed   2 configuration or server   3 bad input   4 answer refused   5 refresh failed
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


def suggest(name: str, known: Iterable[str]) -> str:
    """The known name that is closest to a misspelt one, upper and lower case alike; empty when none is close."""
    by_folded = {each.casefold(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[close[0]] if close else ""


class LambdaPipelineError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what was wrong, naming the thing.
        hint: what to do about it; empty when the message already says it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigurationError(LambdaPipelineError):
    """A setting is missing or has a value that cannot work."""

    code = "configuration"
    exit_code = 2


class ServerUnavailableError(LambdaPipelineError):
    """A server that is needed cannot be reached, or went away."""

    code = "server-unavailable"
    exit_code = 2


class HapiUnavailableError(ServerUnavailableError):
    """HAPI's database cannot be reached."""

    code = "hapi-unavailable"


class RedisUnavailableError(ServerUnavailableError):
    """Redis cannot be reached, is loading, or refuses writes (out of memory, read-only)."""

    code = "redis-unavailable"


class SourceError(LambdaPipelineError):
    """HAPI's database is reachable but is not what the source reader needs (tables, columns, rights, standby)."""

    code = "source"
    exit_code = 2


class SourceBusyError(SourceError):
    """A table is locked: its structure is being changed, or a change is waiting for the lock."""

    code = "source-busy"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one file.

    Attributes:
        file: name of the file, or of the thing when there is no file.
        path: JSON path inside it, such as `$.select[0].column[2].path`.
        reason: what is wrong; quotes the expression with a caret where there is one.
        hint: what to write instead; may be empty.
    """

    file: str
    path: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.reason}" + (f" ({self.hint})" if self.hint else "")


class ViewDefinitionError(LambdaPipelineError):
    """One or more ViewDefinitions are malformed or use something that is not supported; lists every problem."""

    code = "view-definition"
    exit_code = 3

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BadRequestError(LambdaPipelineError):
    """A question that cannot be asked: unknown view, column, operator, type or value; SQL other than one SELECT."""

    code = "bad-request"
    exit_code = 3


class SavedQueryError(BadRequestError):
    """A saved query that cannot be asked as it stands: its header, its dependencies or its Library; lists all problems.

    Attributes:
        problems: what is wrong; at least one.
    """

    code = "saved-query"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class CohortFinding:
    """One thing to say about a cohort definition.

    Attributes:
        code: of the check, such as `unknown-column`; stable.
        path: JSON path inside the document, such as `$.rules[1].members[0].where[2]`.
        reason: what is wrong, without a value of the document.
        hint: what to write instead; may be empty.
        warning: whether the question can be asked all the same.
    """

    code: str
    path: str
    reason: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f" ({self.hint})" if self.hint else "") + f" [{self.code}]"


class CohortDefinitionError(LambdaPipelineError):
    """A cohort definition that cannot be answered as it stands; lists every finding."""

    code = "cohort-definition"
    exit_code = 3

    def __init__(self, name: str, findings: Sequence[CohortFinding]) -> None:
        super().__init__("\n".join(f"{name}: {finding}" for finding in findings))
        self.findings = tuple(findings)


class BadDataError(LambdaPipelineError):
    """Input data that cannot be read: not JSON, no resourceType, an unknown bundle type."""

    code = "bad-data"
    exit_code = 3


class AnswerRefusedError(LambdaPipelineError):
    """Base of refusals: the answer at a stated frontier cannot be shown to be right, so there is none.

    Every refusal states its code, the reason, what was missing, and how to get an answer anyway. All of them are listed
    in docs/questions.md.

    Args:
        message: the reason.
        hint: how to get an answer anyway, where more can be said than `ways_out` does.

    Attributes:
        missing: what the answer would have needed.
        ways_out: how to get an answer anyway.
    """

    code = "refused"
    exit_code = 4
    missing: ClassVar[str] = "definitions and rows of one moment"
    ways_out: ClassVar[tuple[str, ...]] = ("ask again",)

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or "; ".join(self.ways_out))

    def __str__(self) -> str:
        return f"refused [{self.code}]: {self.message}; missing: {self.missing}; to get an answer anyway: {self.hint}"


class NoGenerationError(AnswerRefusedError):
    """No generation has been published yet."""

    code = "no-generation"
    missing = "a first generation"
    ways_out = ("run lambda-pipeline refresh", "ask with mode source")


class ViewNotPublishedError(AnswerRefusedError):
    """The view exists as a file but the published generation does not hold it."""

    code = "view-not-published"
    missing = "the view's table"
    ways_out = ("run lambda-pipeline refresh", "ask with mode source")


class CoverageGapError(AnswerRefusedError):
    """The overlay lost something, and the missing window may not be read from the source, or is too large for that."""

    code = "coverage-gap"
    missing = "the changes since the generation"
    ways_out = (
        "wait for the next poll",
        "set LAMBDA_PIPELINE_READ_SOURCE_ON_GAP=true",
        "ask with mode source",
        "ask with mode batch, for an older moment",
        "run lambda-pipeline refresh",
    )


class StaleAnswerError(AnswerRefusedError):
    """The frontier is older than the freshness target, and the missing window may not be read from the source."""

    code = "stale"
    missing = "a poll within the freshness target"
    ways_out = (
        "ask with a larger freshness target",
        "wait for the next poll",
        "ask with mode source",
        "set LAMBDA_PIPELINE_READ_SOURCE_ON_GAP=true",
    )


class SettingsChangedError(AnswerRefusedError):
    """The published generation was made with another HAPI schema, time zone or reader than this process has."""

    code = "settings-changed"
    missing = "rows that were made with the present settings"
    ways_out = ("run lambda-pipeline refresh, which will be a full one", "ask with mode source")


class QuarantinedError(AnswerRefusedError):
    """The view has quarantined resources and the caller does not accept an answer without them."""

    code = "quarantined"
    missing = "rows of resources that cannot be read"
    ways_out = ("correct them in HAPI", "accept an answer without them")


class GenerationUnreadableError(LambdaPipelineError):
    """What is recorded of the published generation is not what a refresh writes: somebody changed it."""

    code = "generation-unreadable"


class AmbiguousPersonError(LambdaPipelineError):
    """The person view of a cohort has several rows for one person, so nobody's age or sex is known for sure."""

    code = "ambiguous-person"
    exit_code = 3


class AmbiguousResourceError(LambdaPipelineError):
    """A type and an id that several partitions have a resource of."""

    code = "ambiguous-resource"
    exit_code = 3


class ParityMismatchError(LambdaPipelineError):
    """Resources whose served rows are not those of their recompute; names them by key, never by value."""

    code = "parity-mismatch"


class QueryFailedError(LambdaPipelineError):
    """PostgreSQL ended the query: a time limit, a missing right, or an error in the analyst's SQL."""

    code = "query-failed"


class AnswerTooLargeError(QueryFailedError):
    """The answer has more rows or bytes than one answer may have."""

    code = "answer-too-large"


class RefreshError(LambdaPipelineError):
    """A refresh failed; the last published generation stays what it was."""

    code = "refresh-failed"
    exit_code = 5


class RefreshInProgressError(RefreshError):
    """Another refresh holds the lock."""

    code = "refresh-in-progress"


class IncompleteRefreshError(RefreshError):
    """A generation is published, but some of its views are not as their files define them."""

    code = "refresh-incomplete"


class CaptureError(LambdaPipelineError):
    """A poll failed; mark and entries in Redis are what they were."""

    code = "capture-failed"
