"""What comes of a request: an outcome, or a refusal with the status HAPI would answer with."""

from dataclasses import dataclass

from lambda_pipeline.errors import BadDataError


class RequestRefusedError(BadDataError):
    """A request that HAPI would refuse, with the HTTP status of its answer."""

    code = "request-refused"

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request did to one resource.

    Attributes:
        type: resource type.
        id: logical id.
        version: the current version afterwards; None where there is none.
        status: the HTTP status HAPI answers with inside a transaction (204 for a delete).
    """

    type: str
    id: str
    version: int | None
    status: int

    @property
    def location(self) -> str:
        """`Type/id/_history/version`."""
        return f"{self.type}/{self.id}/_history/{self.version}"
