"""The search criteria of conditional requests; only `_id` and `identifier` are supported."""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.errors import BadDataError


@dataclass(frozen=True, slots=True)
class Criteria:
    """`_id=value` or `identifier=[system|]value`.

    Attributes:
        parameter: `_id` or `identifier`.
        value: value of the identifier, or the id.
        system: system of the identifier; None for any system.
    """

    parameter: str
    value: str
    system: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string, percent-encoded or not.

        Raises:
            BadDataError: another parameter, or several parameters.
        """
        pairs = parse_qsl(text)
        if len(pairs) != 1 or pairs[0][0] not in {"_id", "identifier"}:
            raise BadDataError("the demo server searches by _id or identifier only, one at a time")
        parameter, value = pairs[0]
        if parameter == "identifier" and "|" in value:
            system, _, value = value.partition("|")
            return cls(parameter, value, system)
        return cls(parameter, value)

    @property
    def needle(self) -> str:
        """A text that every matching body (or id) contains."""
        return self.value if self.parameter == "_id" else bodies.to_json(self.value)

    def matches(self, logical_id: str, text: str) -> bool:
        """Whether a resource with this id and stored text matches."""
        if self.parameter == "_id":
            return logical_id == self.value
        identifiers: list[dict[str, Any]] = bodies.parse(text).get("identifier", [])
        return any(
            item.get("value") == self.value and self.system in {None, item.get("system")} for item in identifiers
        )
