"""FHIR bundles: the order of a transaction's entries, and the placeholders its resources refer to each other by."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.outcome import Outcome, RequestRefusedError
from lambda_pipeline.demo.hapi.transaction import Transaction
from lambda_pipeline.errors import BadDataError

ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 3}
INSTANCE_URL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
TYPE_URL = re.compile(r"([A-Z][A-Za-z]+)(?:\?(.+))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a transaction or batch.

    Attributes:
        method: DELETE, POST, PUT or PATCH.
        url: relative to the server's base.
        resource: the resource sent; None for a delete.
        full_url: the placeholder others refer to it by; may be empty.
        if_none_exist: criteria of a conditional create.
    """

    method: str
    url: str
    resource: Mapping[str, Any] | None
    full_url: str
    if_none_exist: str | None

    @classmethod
    def parse(cls, entry: object, number: int) -> "Entry | None":
        """Read the entry; None for a GET, which changes nothing.

        Raises:
            RequestRefusedError: 400, no request, an unknown method, or no resource where one is needed.
        """
        request = entry.get("request") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(request, Mapping):
            raise RequestRefusedError(f"entry {number} has no request", status=400)
        method, resource = request.get("method"), entry.get("resource")
        if method in {"GET", "HEAD"}:
            return None
        if method not in ORDER:
            raise RequestRefusedError(f"entry {number} has an unknown method", status=400)
        if method != "DELETE" and not isinstance(resource, Mapping):
            raise RequestRefusedError(f"entry {number} has no resource", status=400)
        return cls(method, request.get("url") or "", resource, entry.get("fullUrl") or "", request.get("ifNoneExist"))


def process(server: ApplicationServer, bundle: Mapping[str, Any]) -> list[Outcome]:
    """Do what a bundle of type `transaction` (all or nothing) or `batch` (each entry by itself) asks for.

    A transaction deletes first, then creates, updates and patches (FHIR R4, 3.1.0.11.2). Placeholders (`fullUrl` of a
    POST or PUT) are replaced by the references they stand for.

    Returns:
        The outcomes, in the order of the entries; GETs have none.

    Raises:
        RequestRefusedError: as the server would answer; nothing of the transaction is written.
    """
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in {"transaction", "batch"}:
        raise RequestRefusedError("a bundle of type transaction or batch is needed", status=400)
    parsed = (Entry.parse(entry, number) for number, entry in enumerate(bundle.get("entry", ()), start=1))
    entries = [entry for entry in parsed if entry is not None]
    if bundle["type"] == "batch":
        return [outcome for entry in entries for outcome in _all_or_nothing(server, [entry])]
    return _all_or_nothing(server, entries)


def _all_or_nothing(server: ApplicationServer, entries: list[Entry]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    with Transaction(server, bundle=True) as transaction:
        targets = _placeholders(transaction, entries)
        for number, entry in sorted(enumerate(entries), key=lambda item: ORDER[item[1].method]):
            outcomes[number] = _perform(transaction, entry, targets)
    return [outcomes[number] for number in range(len(entries))]


def _placeholders(transaction: Transaction, entries: list[Entry]) -> dict[str, str]:
    """Where the placeholders lead; ids of new resources are reserved here, so that cycles resolve."""
    targets = {}
    for entry in entries:
        if not entry.full_url or entry.resource is None:
            continue
        if entry.method == "PUT":
            targets[entry.full_url] = entry.url
        elif entry.method == "POST":
            kind = bodies.resource_type(entry.resource)
            targets[entry.full_url] = f"{kind}/{transaction.reserve(kind, entry.full_url, entry.if_none_exist)}"
    return targets


def _perform(transaction: Transaction, entry: Entry, targets: Mapping[str, str]) -> Outcome:
    if entry.method == "DELETE":
        return _delete(transaction, entry.url)
    resource = _resolved(transaction, bodies.with_references(entry.resource, targets))
    if entry.method == "POST":
        return transaction.post(resource, if_none_exist=entry.if_none_exist, placeholder=entry.full_url or None)
    kind, logical_id = instance(entry.url)
    if entry.method == "PUT":
        return transaction.update({**resource, "id": logical_id})
    return transaction.patch(kind, logical_id, _patch_operations(resource))


def _resolved(transaction: Transaction, value: Any) -> Any:
    """The same JSON with conditional references, such as `Patient?identifier=system|value`, looked up."""
    if isinstance(value, Mapping):
        return {
            name: _looked_up(transaction, item) if name == "reference" else _resolved(transaction, item)
            for name, item in value.items()
        }
    return [_resolved(transaction, item) for item in value] if isinstance(value, list) else value


def _looked_up(transaction: Transaction, reference: object) -> object:
    matched = TYPE_URL.fullmatch(reference) if isinstance(reference, str) else None
    if matched is None or not matched.group(2):
        return reference
    found = transaction.search(matched.group(1), matched.group(2))
    if len(found) != 1:
        raise RequestRefusedError(
            f"{len(found)} resources match a conditional reference", status=404 if not found else 412
        )
    return f"{matched.group(1)}/{found[0]}"


def _delete(transaction: Transaction, url: str) -> Outcome:
    matched = TYPE_URL.fullmatch(url)
    if matched and matched.group(2):
        found = transaction.delete_matching(matched.group(1), matched.group(2))
        return found[-1] if found else Outcome(matched.group(1), "", None, 204)
    return transaction.delete(*instance(url))


def _patch_operations(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The JSON patch in a Binary, which is how a transaction carries one (FHIR R4, 3.1.0.11.8)."""
    try:
        text = base64.b64decode(resource["data"], validate=True)
        return list(bodies.parse(b'{"operations":' + text + b"}")["operations"])
    except (KeyError, TypeError, binascii.Error, BadDataError):
        raise RequestRefusedError("a PATCH entry needs a Binary with a JSON patch", status=400) from None


def instance(url: str) -> tuple[str, str]:
    """Type and id of `Type/id`.

    Raises:
        RequestRefusedError: 400, the URL is another.
    """
    matched = INSTANCE_URL.fullmatch(url)
    if matched is None:
        raise RequestRefusedError("the URL is not Type/id", status=400)
    return matched.group(1), matched.group(2)
