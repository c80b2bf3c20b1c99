"""A small HTTP server for probes and Prometheus: `GET /metrics` and `GET /healthz`. It only reads."""

import json
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from lambda_pipeline.deployment import Deployment
from lambda_pipeline.operations.health import Health, check_health
from lambda_pipeline.operations.metrics import PipelineCollector

logger = logging.getLogger(__name__)

KEEP_HEALTH_S = 2.0
"""Probes within this time get the same result: where the overlay has a gap, each look costs as much as a question."""

Response = tuple[str, str, bytes]


class MetricsServer:
    """Serves the metrics and the health of one deployment.

    Args:
        deployment: the layers; used by one request at a time.
        host: address to listen at.
        port: 0 for any free one.

    Raises:
        OSError: the address cannot be used.
    """

    def __init__(self, deployment: Deployment, host: str, port: int) -> None:
        self._deployment = deployment
        self._host = host
        self._registry = CollectorRegistry()
        self._registry.register(PipelineCollector(deployment))
        self._lock = threading.Lock()
        self._health: tuple[float, Health] | None = None
        self._server = make_server(host, port, self._answer, server_class=_Server, handler_class=_Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self._server.server_port}"

    def serve(self) -> None:
        """Answer until `stop` is called from another thread, or an exception such as KeyboardInterrupt comes in."""
        with self._server:
            self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.shutdown()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        pages: dict[str, Callable[[], Response]] = {"/metrics": self._metrics, "/healthz": self._healthz}
        page = pages.get(environ.get("PATH_INFO", ""))
        if page is None:
            status, kind, body = "404 Not Found", "text/plain; charset=utf-8", b"GET /metrics or /healthz\n"
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain; charset=utf-8", b"GET only\n"
        else:
            status, kind, body = page()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _metrics(self) -> Response:
        with self._lock:
            return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _healthz(self) -> Response:
        with self._lock:
            known = self._health
            if known is None or time.monotonic() - known[0] > KEEP_HEALTH_S:
                found = check_health(self._deployment)
                known = self._health = (time.monotonic(), found)
        health = known[1]
        status = "200 OK" if health.ok else "503 Service Unavailable"
        return status, "application/json", (json.dumps(_describe(health)) + "\n").encode()


def _describe(health: Health) -> dict[str, Any]:
    if not health.ok:
        return {"ok": False, "code": health.code, "reason": health.reason}
    assert health.frontier is not None
    return {"ok": True, "valid_as_of": health.frontier.isoformat(), "sources": list(health.sources)}


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10
    """Seconds after which a client that sends nothing is left alone."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it so)
        logger.debug(format, *args)
