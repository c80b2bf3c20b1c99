"""A notice: what somebody is told, as text for people and as JSON for programs."""

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lambda_pipeline.errors import LambdaPipelineError


class State(StrEnum):
    """What a notice says of its subject."""

    FAILING = "failing"
    OVER = "over"
    TEST = "test"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Notice:
    """One message; it holds no value and no key of a resource.

    Attributes:
        subject: what it is about, such as `job nightly_refresh`; notices of one subject are limited together.
        reason: what is wrong, in one sentence.
        code: of the error; empty where there is none.
        ways_out: what to do about it.
        state: failing, over, or a test.
        held_back: number of notices of this subject that were not sent since the last one.
        at: when it was made, in UTC.
    """

    subject: str
    reason: str
    code: str = ""
    ways_out: str = ""
    state: State = State.FAILING
    held_back: int = 0
    at: datetime = field(default_factory=_now)

    @classmethod
    def of(cls, subject: str, error: Exception) -> "Notice":
        """The notice of a failure; of an error that is not ours only the type, since its text may quote a value."""
        if isinstance(error, LambdaPipelineError):
            return cls(subject, error.message, error.code, error.hint)
        return cls(subject, f"unexpected {type(error).__name__}", "unexpected", "see the traceback in Dagster's log")

    @property
    def title(self) -> str:
        """One line, as the subject of a mail."""
        return f"lambda_pipeline on {socket.gethostname()}: {self.subject}: {self.state}"

    @property
    def text(self) -> str:
        """The message in lines, as for a chat."""
        lines = [self.title, f"[{self.code}] {self.reason}" if self.code else self.reason]
        lines += [f"what to do: {self.ways_out}"] if self.ways_out else []
        lines += [f"{self.held_back} more of this since the last message"] if self.held_back else []
        return "\n".join([*lines, f"at {self.at.isoformat(timespec='seconds')}"])

    def as_json(self) -> dict[str, Any]:
        """For programs; a chat that understands Slack's webhooks reads `text` alone."""
        return {
            "text": self.text,
            "subject": self.subject,
            "state": str(self.state),
            "code": self.code,
            "reason": self.reason,
            "ways_out": self.ways_out,
            "held_back": self.held_back,
            "host": socket.gethostname(),
            "at": self.at.isoformat(),
        }
