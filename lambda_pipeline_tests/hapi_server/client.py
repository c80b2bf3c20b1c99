"""A REST client of HAPI: it keeps every digit of a decimal, and follows pages."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from lambda_pipeline.serving.cells import to_json

Body = Mapping[str, Any]
TIMEOUT_S = 120
PAGE = 50


@dataclass(frozen=True, slots=True)
class Response:
    """Status and parsed JSON of one answer; `body` is empty where there was none."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """Requests to one server; each opens a connection of its own, so that threads may share it.

    Attributes:
        url: of the server, with the tenant where it has tenants.
    """

    url: str

    def send(
        self, method: str, path: str, body: Body | list[Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send one request; `path` is below the server's URL, or a whole URL of it."""
        parts = urlsplit(path if path.startswith("http") else f"{self.url}/{path}")
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        content = None if body is None else to_json(body).encode()
        sent = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache", **(headers or {})}
        try:
            connection.request(method, target, content, sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        found = json.loads(text, parse_float=Decimal) if text.startswith("{") else {}
        return Response(response.status, found)

    def everything(self, resource_type: str, *, read: bool = False) -> Iterator[str]:
        """JSON text of each living resource of a type.

        Args:
            resource_type: the type.
            read: take each from a read of its own instead of the pages of a search. Without history, a search answers
                with tags that `$meta-delete` has removed: it takes them from the rows of the version.
        """
        for resource in self._search(resource_type):
            if read:
                found = self.send("GET", f"{resource_type}/{resource['id']}")
                assert found.status == 200, f"{resource_type}/{resource['id']}: {found.status}"
                yield to_json(found.body)
            else:
                yield to_json(resource)

    def _search(self, resource_type: str) -> Iterator[dict[str, Any]]:
        page: str | None = f"{resource_type}?_count={PAGE}&_sort=_id"
        while page:
            answer = self.send("GET", page)
            assert answer.status == 200, f"{page}: {answer.status}"
            bundle = answer.body
            yield from (entry["resource"] for entry in bundle.get("entry", ()))
            page = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), None)
