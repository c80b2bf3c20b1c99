"""FHIR bundles: the order in which a transaction's entries are processed, and the references between them.

What one request does to the tables belongs in `transaction`.
"""

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
        resource: body of the request; None for a delete.
        full_url: placeholder by which other entries refer to this one; may be empty.
        if_none_exist: criteria of a conditional create.
    """

    method: str
    url: str
    resource: Mapping[str, Any] | None
    full_url: str
    if_none_exist: str | None

    @classmethod
    def parse(cls, entry: object, number: int) -> "Entry | None":
        """Parse an entry; None for a GET, which changes nothing.

        Raises:
            RequestRefusedError: 400, the request or the resource is missing, or the method is unknown.
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
    """Process a bundle of type `transaction` (all entries or none) or `batch` (each entry on its own).

    A transaction deletes first, then creates, updates and patches (FHIR R4, 3.1.0.11.2). Placeholders (`fullUrl` of a
    POST or PUT) are replaced by references to the resources.

    Returns:
        The outcomes in the order of the entries, without those of GETs.

    Raises:
        RequestRefusedError: with the status of HAPI's answer; the refused transaction writes nothing.
    """
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in {"transaction", "batch"}:
        raise RequestRefusedError("not a bundle of type transaction or batch", status=400)
    parsed = (Entry.parse(entry, number) for number, entry in enumerate(bundle.get("entry", ()), start=1))
    entries = [entry for entry in parsed if entry is not None]
    if bundle["type"] == "batch":
        return [outcome for entry in entries for outcome in _process_together(server, [entry])]
    return _process_together(server, entries)


def _process_together(server: ApplicationServer, entries: list[Entry]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    with Transaction(server, bundle=True) as transaction:
        targets = _resolve_placeholders(transaction, entries)
        for number, entry in sorted(enumerate(entries), key=lambda item: ORDER[item[1].method]):
            outcomes[number] = _perform(transaction, entry, targets)
    return [outcomes[number] for number in range(len(entries))]


def _resolve_placeholders(transaction: Transaction, entries: list[Entry]) -> dict[str, str]:
    """Reference of each placeholder; ids of new resources are reserved first, so that entries may refer in cycles."""
    targets = {}
    for entry in entries:
        if not entry.full_url or entry.resource is None:
            continue
        if entry.method == "PUT":
            targets[entry.full_url] = entry.url
        elif entry.method == "POST":
            resource_type = bodies.resource_type(entry.resource)
            logical_id = transaction.reserve(resource_type, entry.full_url, entry.if_none_exist)
            targets[entry.full_url] = f"{resource_type}/{logical_id}"
    return targets


def _perform(transaction: Transaction, entry: Entry, targets: Mapping[str, str]) -> Outcome:
    if entry.method == "DELETE":
        return _delete(transaction, entry.url)
    resource = _resolve_references(transaction, bodies.with_references(entry.resource, targets))
    if entry.method == "POST":
        return transaction.post(resource, if_none_exist=entry.if_none_exist, placeholder=entry.full_url or None)
    resource_type, logical_id = split_instance_url(entry.url)
    if entry.method == "PUT":
        return transaction.update({**resource, "id": logical_id})
    return transaction.patch(resource_type, logical_id, _patch_operations(resource))


def _resolve_references(transaction: Transaction, value: Any) -> Any:
    """Replace conditional references such as `Patient?identifier=system|value`; returns new JSON."""
    if isinstance(value, Mapping):
        return {
            name: _resolve_reference(transaction, item)
            if name == "reference"
            else _resolve_references(transaction, item)
            for name, item in value.items()
        }
    return [_resolve_references(transaction, item) for item in value] if isinstance(value, list) else value


def _resolve_reference(transaction: Transaction, reference: object) -> object:
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
    return transaction.delete(*split_instance_url(url))


def _patch_operations(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The JSON patch in a Binary resource, as a transaction carries it (FHIR R4, 3.1.0.11.8)."""
    try:
        text = base64.b64decode(resource["data"], validate=True)
        return list(bodies.parse(b'{"operations":' + text + b"}")["operations"])
    except (KeyError, TypeError, binascii.Error, BadDataError):
        raise RequestRefusedError(
            "the resource of a PATCH entry is not a Binary with a JSON patch", status=400
        ) from None


def split_instance_url(url: str) -> tuple[str, str]:
    """Split `Type/id` into type and id.

    Raises:
        RequestRefusedError: 400, the URL has another form.
    """
    matched = INSTANCE_URL.fullmatch(url)
    if matched is None:
        raise RequestRefusedError("the URL does not have the form Type/id", status=400)
    return matched.group(1), matched.group(2)
