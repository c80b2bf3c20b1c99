"""Metrics for Prometheus: what PostgreSQL and Redis say at the moment of a scrape, without any state of its own.

How they are served does not belong here (`metrics_server.py`). Answers are not counted: a question would have to write
somewhere for that, and an answer must not depend on it.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.operations.health import check_health
from lambda_pipeline.operations.parity_record import ParityRecord, read_parities
from lambda_pipeline.operations.status import OverlayHealth, PipelineStatus, collect_status, describe_failures
from lambda_pipeline.operations.tick_counters import TickCounters, read_tick_counters
from lambda_pipeline.speed.redis_errors import redis_errors

logger = logging.getLogger(__name__)

PREFIX = "lambda_pipeline_"


class PipelineCollector(Collector):
    """Reads a deployment anew for each scrape; what cannot be read is left out, and `up` says so.

    Args:
        deployment: the layers; not used by others meanwhile.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def describe(self) -> list[Metric]:
        """None: a registry would otherwise scrape at registration, when a server may be away."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of one scrape."""
        began = time.monotonic()
        settings = self._deployment.settings
        up = GaugeMetricFamily(f"{PREFIX}up", "Whether the server could be read.", labels=["server"])
        yield _gauge("answerable", "Whether a live answer could be given now.", check_health(self._deployment).ok)
        yield _gauge("freshness_target_seconds", "Age of the frontier that answers allow.", settings.oldest_frontier_s)
        status = self._status()
        up.add_metric(["hapi"], float(status is not None))
        if status is not None:
            yield from _of_status(status, self._deployment)
        if settings.speed_layer:
            try:
                found = list(self._of_redis())
            except LambdaPipelineError as error:
                logger.warning("%s", error)
                found = []
            up.add_metric(["redis"], float(bool(found)))
            yield from found
        yield up
        yield _gauge("scrape_seconds", "Time that this scrape took.", time.monotonic() - began)

    def _status(self) -> PipelineStatus | None:
        try:
            return collect_status(self._deployment)
        except (LambdaPipelineError, psycopg.Error) as error:
            logger.warning("%s", error if isinstance(error, LambdaPipelineError) else type(error).__name__)
            return None

    def _of_redis(self) -> Iterator[Metric]:
        overlay = self._deployment.overlay
        with redis_errors():
            memory = overlay.client.info("memory")
        yield _gauge("redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"])
        yield _gauge("redis_memory_limit_bytes", "maxmemory of Redis; 0 for none.", memory.get("maxmemory", 0))
        state = overlay.read_status().state
        if state is not None:
            yield _by_label(
                "overlay_bytes", "Estimated memory of entries.", "resource_type", overlay.bytes_by_type(state)
            )
        yield from _of_ticks(read_tick_counters(overlay))
        yield from _of_parities(list(read_parities(overlay).values()))


def _of_status(status: PipelineStatus, deployment: Deployment) -> Iterator[Metric]:
    yield _gauge("healthy", "Whether lambda-pipeline status finds nothing wrong.", status.healthy)
    yield _gauge("problems", "Number of problems that lambda-pipeline status names.", len(status.problems))
    if status.lag_s is not None:
        yield _gauge("frontier_age_seconds", "Age of the frontier of a live answer from the overlay.", status.lag_s)
    if (generation := status.generation) is not None:
        age_s = (status.looked_at - generation.valid_as_of).total_seconds()
        yield _gauge("generation_number", "Number of the published generation.", generation.number)
        yield _gauge("generation_age_seconds", "Time since the moment that the generation shows.", age_s)
        wrong = describe_failures(generation, deployment.views, deployment.broken)
        yield _gauge("views_not_as_defined", "Views that are not as their files define them.", sum(1 for _ in wrong))
    views = [view for view in status.views if view.generation is not None]
    for name, text, values in (
        ("refresh_seconds", "Time that the last refresh took.", {view.name: view.seconds for view in views}),
        ("view_rows", "Rows in the generation.", {view.name: float(view.rows) for view in views}),
        ("view_resources", "Resources of its type in the generation.", {v.name: float(v.resources) for v in views}),
        ("view_quarantined", "Resources that cannot be read.", {view.name: float(view.quarantined) for view in views}),
    ):
        yield _by_label(name, text, "view", values)
    if status.overlay is not None:
        yield from _of_overlay(status, status.overlay, deployment)


def _of_overlay(status: PipelineStatus, overlay: OverlayHealth, deployment: Deployment) -> Iterator[Metric]:
    settings = deployment.settings
    yield _by_label("overlay_entries", "Captured resources in the overlay.", "resource_type", overlay.entries)
    yield _gauge("overlay_size_bytes", "Estimated memory of the whole overlay.", overlay.size_bytes)
    yield _gauge("overlay_limit_entries", "Number of entries that the overlay may have.", settings.overlay_max_entries)
    yield _gauge("overlay_limit_bytes", "Memory that the overlay may have.", settings.overlay_max_bytes)
    yield _gauge("overlay_gap", "Whether the overlay lacks changes since the generation.", bool(overlay.gap))
    if overlay.polled_at is not None:
        age_s = max(0.0, (status.looked_at - overlay.polled_at).total_seconds())
        yield _gauge("poll_age_seconds", "Time since the last poll.", age_s)


def _of_ticks(found: TickCounters) -> Iterator[Metric]:
    if found.lag_s is not None:
        yield _gauge("lag_seconds", "How far the overlay was behind at worst in the last tick.", found.lag_s)
    yield SummaryMetricFamily(
        f"{PREFIX}poll_seconds", "Duration of polls.", count_value=found.polls, sum_value=found.poll_seconds
    )
    for name, text, value in (
        ("published_polls", "Polls that found changes.", found.published_polls),
        ("captured_entries", "Entries that polls published.", found.captured),
    ):
        yield CounterMetricFamily(f"{PREFIX}{name}", text, value=value)


def _of_parities(records: list[ParityRecord]) -> Iterator[Metric]:
    now = datetime.now(UTC)
    labels = ["mode", "view"]
    mismatches = GaugeMetricFamily(f"{PREFIX}parity_mismatches", "Resources that differed last time.", labels=labels)
    checked = GaugeMetricFamily(f"{PREFIX}parity_checked", "Resources compared last time.", labels=labels)
    age = GaugeMetricFamily(f"{PREFIX}parity_age_seconds", "Time since the last comparison.", labels=labels)
    for record in sorted(records, key=lambda each: (each.parity.mode, each.view)):
        where = [record.parity.mode, record.view]
        mismatches.add_metric(where, record.mismatches)
        checked.add_metric(where, record.parity.checked)
        age.add_metric(where, (now - record.made_at).total_seconds())
    yield from (mismatches, checked, age)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=float(value))


def _by_label(name: str, text: str, label: str, values: object) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=[label])
    assert isinstance(values, dict)
    for each, value in sorted(values.items()):
        family.add_metric([each], float(value))
    return family
