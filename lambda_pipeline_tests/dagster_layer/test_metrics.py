"""Metrics and health as Prometheus and a probe see them, over real servers."""

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lambda_pipeline.deployment import Deployment
from lambda_pipeline.operations.metrics_server import MetricsServer
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.servers import PROJECT, OwnRedis
from lambda_pipeline_tests.support.worlds import Site

ALERTS = PROJECT / "ops" / "prometheus" / "alerts.yml"
DASHBOARD = PROJECT / "ops" / "grafana" / "dashboard.json"


@contextmanager
def asked(deployment: Deployment) -> Iterator[str]:
    """The URL of a metrics server over a deployment."""
    server = MetricsServer(deployment, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.url
    server.stop()
    thread.join()


def get(url: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


Samples = dict[str, dict[tuple[str, ...], float]]


def scrape(deployment: Deployment) -> Samples:
    """Name of each sample -> values of its labels -> value."""
    with asked(deployment) as url:
        status, text = get(f"{url}/metrics")
    assert status == 200
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def health(deployment: Deployment) -> tuple[int, dict[str, Any]]:
    with asked(deployment) as url:
        status, text = get(f"{url}/healthz")
    return status, json.loads(text)


@pytest.fixture
def busy(night: Site) -> Site:
    """A night with its comparison, and a tick that captured something."""
    night.demo.update(patient("d"))
    night.demo.delete("Patient", "a")
    night.tick()
    return night


def test_a_scrape_has_what_is_published_captured_and_compared(busy: Site) -> None:
    found = scrape(busy.deployment)
    name = "lambda_pipeline_{}".format
    assert found[name("up")] == {("hapi",): 1, ("redis",): 1}
    assert found[name("answerable")] == found[name("healthy")] == {(): 1}
    assert found[name("view_rows")] == {("conditions",): 3, ("patients",): 3}
    assert found[name("generation_number")] == {(): 1}
    assert found[name("overlay_entries")][("Patient",)] == 2
    assert found[name("overlay_bytes")][("Patient",)] > found[name("overlay_bytes")][("Condition",)]
    assert found[name("captured_entries_total")] == {(): 2}
    assert found[name("poll_seconds_count")][()] >= found[name("published_polls_total")][()] >= 1
    assert found[name("poll_seconds_sum")][()] > 0
    assert set(found[name("parity_mismatches")]) == {
        (mode, view) for mode in ("batch", "live") for view in ("patients", "conditions")
    }
    assert set(found[name("parity_mismatches")].values()) == {0}
    assert found[name("redis_memory_bytes")][()] > 100_000
    assert 0 <= found[name("poll_age_seconds")][()] < 60


def test_mismatches_are_shown_until_a_comparison_finds_none(busy: Site) -> None:
    with busy.deployment.database.connect() as connection:
        connection.execute("UPDATE sqlonfhir.conditions__1 SET code = 'swordfish' WHERE id = 'dm-b'")
    busy.run("parity_check", {"everything": True})
    found = scrape(busy.deployment)["lambda_pipeline_parity_mismatches"]
    assert (found["batch", "conditions"], found["batch", "patients"]) == (1, 0)


def test_a_scrape_says_what_is_away_and_gives_the_rest(site: Site, own_redis: OwnRedis) -> None:
    site.setenv("REDIS_URL", own_redis.url)
    site.define(*site_views(site))
    site.refresh()
    own_redis.stop()
    found = scrape(site.deployment)
    assert found["lambda_pipeline_up"] == {("hapi",): 1, ("redis",): 0}
    assert found["lambda_pipeline_overlay_gap"] == {(): 1}
    assert "lambda_pipeline_redis_memory_bytes" not in found
    site.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    site.define(*site_views(site))
    found = scrape(site.deployment)
    assert found["lambda_pipeline_up"] == {("hapi",): 0, ("redis",): 0}
    assert found["lambda_pipeline_answerable"] == {(): 0}


def site_views(site: Site) -> list[dict[str, Any]]:
    return [dict(view.definition) for view in site.deployment.views]


def test_healthz_is_200_when_an_answer_can_be_given(busy: Site) -> None:
    status, body = health(busy.deployment)
    assert (status, body["ok"], body["sources"]) == (200, True, ["batch generation 1", "overlay"])


def test_healthz_is_200_while_the_changes_can_be_read_from_the_source(busy: Site) -> None:
    busy.deployment.overlay.client.flushall()
    status, body = health(busy.deployment)
    assert (status, body["sources"]) == (200, ["batch generation 1", "hapi"])


def test_healthz_is_503_with_the_reason_when_no_answer_can_be_given(busy: Site) -> None:
    busy.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    busy.define(*site_views(busy))
    assert health(busy.deployment)[0] == 200
    busy.deployment.overlay.client.flushall()
    status, body = health(busy.deployment)
    assert (status, body["ok"], body["code"]) == (503, False, "coverage-gap")
    assert "there is no overlay in Redis" in body["reason"]


def test_healthz_is_503_when_the_frontier_is_older_than_the_target(busy: Site) -> None:
    busy.setenv("LAMBDA_PIPELINE_READ_SOURCE_ON_GAP", "false")
    busy.setenv("LAMBDA_PIPELINE_FRESHNESS_TARGET_S", "0.001")
    busy.define(*site_views(busy))
    status, body = health(busy.deployment)
    assert (status, body["code"]) == (503, "stale")


def test_healthz_is_503_without_a_generation_and_without_a_database(site: Site) -> None:
    assert health(site.deployment) == (
        503, {"ok": False, "code": "no-generation", "reason": "no generation has been published yet"},
    )  # fmt: skip
    site.setenv("HAPI_DB_URL", "postgresql://nobody:swordfish@127.0.0.1:1/hapi")
    site.define(*site_views(site))
    status, body = health(site.deployment)
    assert (status, body["code"]) == (503, "hapi-unavailable")
    assert "swordfish" not in str(body)


def test_other_paths_and_methods_are_refused(busy: Site) -> None:
    with asked(busy.deployment) as url:
        assert get(f"{url}/")[0] == 404
        assert get(f"{url}/metrics", "POST")[0] == 405
        assert get(f"{url}/healthz", "HEAD") == (200, "")


def metrics_of(text: str) -> set[str]:
    return set(re.findall(r"lambda_pipeline_[a-z_]+", text))


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def test_alerts_and_dashboard_name_metrics_that_a_scrape_has(busy: Site) -> None:
    scraped = set(scrape(busy.deployment))
    expressions = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for expression in (*expressions, *queries):
        assert metrics_of(expression), expression
        assert metrics_of(expression) <= scraped, expression
    unused = scraped - metrics_of(" ".join([*expressions, *queries]))
    assert unused == {f"lambda_pipeline_{each}" for each in UNUSED}


UNUSED = {"generation_number", "healthy", "parity_age_seconds", "scrape_seconds", "view_resources"}
"""Metrics for questions of an operator, not for a screen."""


def test_alerts_have_the_shape_that_prometheus_expects() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Za-z_]\w*", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
        assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_dashboard_has_the_shape_that_grafana_expects() -> None:
    found = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(found)
    assert "id" not in found
    (variable,) = found["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    numbers = [panel["id"] for panel in found["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["datasource"]["uid"] == f"${{{variable['name']}}}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_alert_is_explained() -> None:
    page = (PROJECT / "docs" / "monitoring.md").read_text()
    for name in re.findall(r"alert: (\w+)", ALERTS.read_text()):
        assert f"`{name}`" in page, name


def test_metrics_are_documented() -> None:
    page = (PROJECT / "docs" / "monitoring.md").read_text()
    named = set(re.findall(r"`lambda_pipeline_([a-z_]+)`", page))
    source = (PROJECT / "lambda_pipeline" / "operations" / "metrics.py").read_text()
    for name in set(re.findall(r"(?:_gauge\(|_by_label\(|\()\s*\"([a-z_]+)\", \"[A-Z]", source)):
        assert {name, f"{name}_total"} & named, name


def test_files_of_ops_are_where_the_page_says(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "monitoring.md").read_text()
    for file in (ALERTS, DASHBOARD):
        assert str(file.relative_to(PROJECT)) in page
