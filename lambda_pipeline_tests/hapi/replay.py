"""Replay a log of REST requests on the imitation of HAPI."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.bundles import TYPE_URL, split_instance_url
from lambda_pipeline.demo.hapi.outcome import Outcome, RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadDataError

LOCATION = re.compile(r"([A-Za-z]+)/([A-Za-z0-9\-.]+)/_history/(\d+)")
SERVER_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/(\d+)")
OPERATION_URL = re.compile(r"([A-Z][A-Za-z]+/[^/]+)/\$([a-z\-]+)")


@dataclass(slots=True)
class Replay:
    """The result of a replay.

    Attributes:
        statuses: HTTP status of each request, in order; None for those that change nothing (GET).
        ids: `Type/id` in the log -> `Type/id` here, for ids that a server assigned.
        locations: per request, `Type/id/_history/version` of the resources it changed, with the ids of the log.
    """

    statuses: list[int | None] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    locations: list[list[str]] = field(default_factory=list)


def replay(demo: DemoHapi, requests: Iterable[Mapping[str, Any]]) -> Replay:
    """Perform the requests of a log, one after the other.

    Args:
        demo: performs the requests.
        requests: objects with `method`, `url` (relative; empty for a bundle), and where needed `body` (the exact
            text) and `content_type`; `location` or `locations` of the logged answer hold the ids that the server
            assigned, which are replaced in later requests by the ids assigned here.
    """
    done = Replay()
    for request in requests:
        if request["method"] in {"GET", "HEAD"}:
            done.statuses.append(None)
            done.locations.append([])
            continue
        logged = request.get("locations") or [request.get("location")]
        try:
            status, outcomes = _perform(demo, _translate(request, done.ids))
        except RequestRefusedError as refusal:
            status, outcomes = refusal.status, []
        except BadDataError:
            status, outcomes = 400, []
        done.statuses.append(status)
        _record_ids(done.ids, logged, outcomes)
        back = {here: there for there, here in done.ids.items()}
        done.locations.append([_replace_ids(outcome.location, back) for outcome in outcomes])
    return done


def _translate(request: Mapping[str, Any], ids: Mapping[str, str]) -> tuple[str, str, dict[str, Any] | list[Any]]:
    method, url = request["method"], _replace_ids(request["url"], ids)
    text = request.get("body")
    if not text:
        return method, url, {}
    body = bodies.parse(f'{{"list":{text}}}')["list"]
    body = _replace_ids_in(body, ids)
    if method == "PUT":
        body = (
            {**body, "id": split_instance_url(url)[1]}
            if body.get("id") == split_instance_url(request["url"])[1]
            else body
        )
    return method, url, body


def _perform(demo: DemoHapi, request: tuple[str, str, Any]) -> tuple[int, list[Outcome]]:
    method, url, body = request
    operation = OPERATION_URL.fullmatch(url)
    if method == "POST" and not url:
        return 200, demo.transaction(body)
    if method == "POST" and operation:
        return 200, _operate(demo, *split_instance_url(operation.group(1)), operation.group(2), body)
    if method == "POST":
        outcome = demo.post(body)
    elif method == "PUT":
        if body.get("id") != split_instance_url(url)[1]:
            raise RequestRefusedError("the id in the body is not that of the URL", status=400)
        outcome = demo.update(body)
    elif method == "PATCH":
        outcome = demo.patch(*split_instance_url(url), body)
    elif method == "DELETE":
        return 200, _delete(demo, url)
    else:
        raise RequestRefusedError(f"unknown method {method}", status=405)
    return outcome.status, [outcome]


def _delete(demo: DemoHapi, url: str) -> list[Outcome]:
    matched = TYPE_URL.fullmatch(url)
    if matched and matched.group(2):
        with demo.open_transaction() as transaction:
            return transaction.delete_matching(matched.group(1), matched.group(2))
    return [demo.delete(*split_instance_url(url))]


def _operate(
    demo: DemoHapi, resource_type: str, logical_id: str, operation: str, parameters: Mapping[str, Any]
) -> list[Outcome]:
    given = {
        parameter["name"]: next((value for name, value in parameter.items() if name.startswith("value")), None)
        for parameter in parameters.get("parameter", ())
    }
    if operation == "meta-add":
        return [demo.meta_add(resource_type, logical_id, given["meta"] or {})]
    if operation == "meta-delete":
        return [demo.meta_delete(resource_type, logical_id, given["meta"] or {})]
    if operation == "expunge":
        if given.get("expungePreviousVersions"):
            with demo.open_transaction() as transaction:
                transaction.expunge_previous_versions(resource_type, logical_id)
        if given.get("expungeDeletedResources"):
            demo.expunge(resource_type, logical_id)
        return []
    raise RequestRefusedError(f"unknown operation ${operation}", status=400)


def _record_ids(ids: dict[str, str], logged: list[str | None], outcomes: list[Outcome]) -> None:
    for location, outcome in zip(logged, outcomes, strict=False):
        matched = LOCATION.search(location or "")
        if matched and matched.group(2).isdecimal():
            ids[f"{matched.group(1)}/{matched.group(2)}"] = f"{outcome.type}/{outcome.id}"


def _replace_ids(text: str, ids: Mapping[str, str]) -> str:
    return SERVER_REFERENCE.sub(lambda found: ids.get(found.group(), found.group()), text)


def _replace_ids_in(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _replace_ids(item, ids)
            if name in {"reference", "url"} and isinstance(item, str)
            else _replace_ids_in(item, ids)
            for name, item in value.items()
        }
    return [_replace_ids_in(item, ids) for item in value] if isinstance(value, list) else value
