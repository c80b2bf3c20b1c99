"""Random requests to a real HAPI, of every kind that changes what it holds; the same seed gives the same script."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_pipeline_tests.hapi_server.client import Client
from lambda_pipeline_tests.model import bodies

TYPES = ("Patient", "Condition", "Observation")
NUMBERS = 12
"""Resources with an id of ours, of each type: few, so that most requests meet one that is there, or was."""

PROFILE = "http://example.org/profile"
TAG = {"system": "http://example.org/tags", "code": "seen", "version": "1", "userSelected": True}


@dataclass(slots=True)
class Script:
    """Sends requests and counts them by kind and status.

    Attributes:
        client: of the server.
        choose: decides what is sent.
        retags: whether tags are added and removed without a new version.
        sent: how often each kind ended with each status.
    """

    client: Client
    choose: random.Random
    retags: bool = True
    sent: dict[tuple[str, int], int] = field(default_factory=dict)

    def send(self, requests: int) -> None:
        """Send so many requests."""
        kinds = [kind for kind, weight in _KINDS.items() for _ in range(weight)]
        if not self.retags:
            kinds = [kind for kind in kinds if kind not in (Script.tag, Script.untag)]
        for _ in range(requests):
            kind = self.choose.choice(kinds)
            status = kind(self)
            key = (kind.__name__, status)
            self.sent[key] = self.sent.get(key, 0) + 1

    def some(self) -> tuple[str, str]:
        """Type and id of a resource of ours, which may be there, deleted, or never made."""
        kind = self.choose.choice(TYPES)
        return kind, bodies.logical_id(kind, self.choose.randrange(NUMBERS))

    def body(self, kind: str) -> dict[str, Any]:
        made = dict(bodies.body(kind, self.choose.randrange(96)))
        value = made.get("valueQuantity", {}).get("value")
        # HAPI reads bodies by their types: it refuses a text in place of a number before it stores it.
        if isinstance(value, str):
            made["valueQuantity"] = {"value": 7, "unit": "cm"}
        # PostgreSQL refuses U+0000 in what HAPI indexes, such as a family name; in a note it is stored.
        if kind != "Patient" and self.choose.random() < 0.1:
            made["note"] = [{"text": "a\0b"}]
        return made

    def put(self) -> int:
        kind, logical_id = self.some()
        return self.client.send("PUT", f"{kind}/{logical_id}", {**self.body(kind), "id": logical_id}).status

    def put_unchanged(self) -> int:
        kind, logical_id = self.some()
        found = self.client.send("GET", f"{kind}/{logical_id}")
        return (
            found.status if found.status != 200 else self.client.send("PUT", f"{kind}/{logical_id}", found.body).status
        )

    def create(self) -> int:
        kind = self.choose.choice(TYPES)
        return self.client.send("POST", kind, self.body(kind)).status

    def create_if_none_exists(self) -> int:
        value = str(self.choose.randrange(4))
        made = {**self.body("Patient"), "identifier": [{"system": "urn:numbers", "value": value}]}
        condition = {"If-None-Exist": f"identifier=urn:numbers|{value}"}
        return self.client.send("POST", "Patient", made, condition).status

    def delete(self) -> int:
        return self.client.send("DELETE", "/".join(self.some())).status

    def delete_by_condition(self) -> int:
        return self.client.send("DELETE", f"Patient?identifier=urn:numbers|{self.choose.randrange(4)}").status

    def patch(self) -> int:
        logical_id = bodies.logical_id("Patient", self.choose.randrange(NUMBERS))
        operation = [{"op": "add", "path": "/gender", "value": self.choose.choice(("male", "female", "other"))}]
        patch = {"Content-Type": "application/json-patch+json"}
        return self.client.send("PATCH", f"Patient/{logical_id}", operation, patch).status

    def transaction(self) -> int:
        """Entries of each method, one of them created under a placeholder that another one refers to."""
        entries = [_entry("POST", "Patient", self.body("Patient"), "urn:uuid:11111111-1111-4111-8111-111111111111")]
        condition = {**self.body("Condition"), "subject": {"reference": entries[0]["fullUrl"]}}
        entries.append(_entry("POST", "Condition", condition))
        for kind, logical_id in {self.some() for _ in range(self.choose.randrange(6))}:
            path = f"{kind}/{logical_id}"
            if self.choose.random() < 0.3:
                entries.append(_entry("DELETE", path))
            else:
                entries.append(_entry("PUT", path, {**self.body(kind), "id": logical_id}))
        return self.client.send("POST", "", _bundle(entries)).status

    def tag(self) -> int:
        return self._meta("$meta-add")

    def untag(self) -> int:
        return self._meta("$meta-delete")

    def expunge(self) -> int:
        """Remove what is deleted of a resource, and old versions of one that lives."""
        asked = [
            {"name": name, "valueBoolean": True} for name in ("expungeDeletedResources", "expungePreviousVersions")
        ]
        body = {"resourceType": "Parameters", "parameter": asked}
        return self.client.send("POST", f"{'/'.join(self.some())}/$expunge", body).status

    def _meta(self, operation: str) -> int:
        meta = self.choose.choice(({"tag": [TAG]}, {"profile": [PROFILE]}))
        body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
        return self.client.send("POST", f"{'/'.join(self.some())}/{operation}", body).status


_KINDS: Mapping[Callable[[Script], int], int] = {
    Script.put: 10,
    Script.put_unchanged: 2,
    Script.create: 3,
    Script.create_if_none_exists: 2,
    Script.delete: 4,
    Script.delete_by_condition: 1,
    Script.patch: 2,
    Script.transaction: 3,
    Script.tag: 3,
    Script.untag: 3,
    Script.expunge: 2,
}


KINDS = frozenset(kind.__name__ for kind in _KINDS)
"""Names of all kinds of requests."""


def large_transaction(entries: int) -> dict[str, Any]:
    """A transaction of so many new patients, which takes long to commit."""
    return _bundle([_entry("POST", "Patient", bodies.body("Patient", number % 32)) for number in range(entries)])


def _entry(method: str, path: str, body: Mapping[str, Any] | None = None, full_url: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": path}}
    if body is not None:
        made["resource"] = body
    if full_url:
        made["fullUrl"] = full_url
    return made


def _bundle(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
