"""The result of a request: an outcome, or a refusal with the HTTP status of HAPI's answer."""

from dataclasses import dataclass

from lambda_pipeline.errors import BadDataError


class RequestRefusedError(BadDataError):
    """HAPI would refuse the request; `status` is the HTTP status of its answer."""

    code = "request-refused"

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effect of a request on one resource.

    Attributes:
        type: resource type.
        id: logical id.
        version: the current version afterwards; None for an unknown resource.
        status: the HTTP status of HAPI's answer within a transaction (204 for a delete).
    """

    type: str
    id: str
    version: int | None
    status: int

    @property
    def location(self) -> str:
        """`Type/id/_history/version`."""
        return f"{self.type}/{self.id}/_history/{self.version}"
