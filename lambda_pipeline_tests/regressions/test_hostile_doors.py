"""Raw exceptions that the fuzz of the public doors found: each is an error with a code now."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis

from lambda_pipeline.cli.program import run
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.errors import (
    BadDataError,
    BadRequestError,
    GenerationUnreadableError,
    LambdaPipelineError,
    QueryFailedError,
)
from lambda_pipeline.operations.parity import check_parity
from lambda_pipeline.operations.status import collect_status
from lambda_pipeline.serving import Filter, Operator
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import find_warnings, lint
from lambda_pipeline_tests.support.definitions import PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

QUESTIONS: dict[str, tuple[Callable[[World], Any], str]] = {
    "a view that is no text": (lambda world: world.serving.query(3), "view is not text"),
    "a view that is a list": (lambda world: world.serving.query(["patients"]), "view is not text"),
    "columns in one text": (lambda world: world.serving.query("patients", columns="id"), "columns is not a list"),
    "a column that is a number": (lambda world: world.serving.query("patients", columns=[1]), "columns holds"),
    "filters that are none": (lambda world: world.serving.query("patients", where=["gender"]), "where holds"),
    "one filter without a list": (
        lambda world: world.serving.query("patients", where=Filter("gender", Operator.EQ, "male")),
        "where is not a list",
    ),
    "a filter's column": (
        lambda world: world.serving.query("patients", where=[Filter(["id"], Operator.EQ, "a")]), "column is not text",
    ),
    "a filter's operator": (
        lambda world: world.serving.query("patients", where=[Filter("id", None, "a")]), "operator is not text",
    ),
    "options that are none": (lambda world: world.serving.query("patients", options={}), "options is not"),
    "an option that is no truth": (lambda world: world.serving.query("patients", accept_quarantined=None), "accept_"),
    "a statement that is no text": (lambda world: world.serving.select(3.5), "the statement is not text"),
    "parameters in a list": (lambda world: world.serving.select("SELECT 1 AS n", ["a"]), "parameters is not"),
    "a name that is a number": (lambda world: world.serving.select("SELECT 1 AS n", {1: 2}), "a name that is not text"),
    "NaT as a parameter": (lambda world: world.serving.select("SELECT :a AS n", {"a": pd.NaT}),
    "a missing date or time"),
    "NaT as a value": (
        lambda world: world.serving.query("patients", where=[Filter("birth_date", Operator.EQ, pd.NaT)]), "is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_of_wrong_types_is_a_bad_request(published_cohort: World, name: str) -> None:
    """Scripts got a TypeError, AttributeError or ValueError out of the middle of the serving layer."""
    ask, reason = QUESTIONS[name]
    with pytest.raises(BadRequestError, match=reason):
        ask(published_cohort)


def test_a_definition_with_half_a_surrogate_pair_is_not_utf_8() -> None:
    """`views lint` ended in a UnicodeEncodeError on a file that holds bytes which are not UTF-8."""
    text = json.dumps(PATIENTS).replace("birthDate", "\ud800")
    assert [problem.reason for problem in lint(text, "a.json")] == ["is not UTF-8"]
    assert find_warnings(text, "a.json") == []


@pytest.mark.parametrize("word", ["\udfff", "\ud800.sql", "a\x00b"])
def test_a_word_that_no_process_can_be_given_is_refused(capsys: pytest.CaptureFixture[str], word: str) -> None:
    """click looked for a file of that name, which is a UnicodeEncodeError or a ValueError."""
    for arguments in (("views", "lint", word), ("sql", word), ("load", word), (word,)):
        assert run(arguments) == 3
        assert "holds a character that no word can hold" in capsys.readouterr().err


def nested(levels: int) -> dict[str, Any]:
    element: Any = {"url": "u"}
    for _ in range(levels):
        element = {"url": "u", "extension": [element]}
    return patient("deep", extension=[element])


RESOURCES: dict[str, tuple[Any, str]] = {
    "meta is a list": (patient("x", meta=["a"]), "meta is not an object"),
    "profile is a text": (patient("x", meta={"profile": "http://p"}), "meta.profile is not a list"),
    "profile is an object": (patient("x", meta={"profile": [{}]}), "meta.profile is not a list"),
    "tag is a text": (patient("x", meta={"tag": ["a"]}), "meta.tag is not a list"),
    "a code is an object": (patient("x", meta={"tag": [{"code": {}}]}), "meta.tag is not a list"),
    "a long code": (patient("x", meta={"security": [{"code": "c" * 201}]}), "meta.security is not a list"),
    "a NUL in a code": (patient("x", meta={"tag": [{"code": "\x00"}]}), "meta.tag is not a list"),
    "a long type": ({"resourceType": "P" * 41}, "resourceType is missing or not a name"),
    "a type in other letters": ({"resourceType": "Pätient"}, "resourceType is missing or not a name"),
    "deep": (nested(150), "nested too deeply"),
    "a bundle whose type is an object": ({"resourceType": "Bundle", "type": {}}, "bundle of type"),
}
BUNDLES: dict[str, tuple[Any, str]] = {
    "request is a text": ({"type": "batch", "entry": [{"request": "PUT"}]}, "no request"),
    "method is a list": ({"type": "batch", "entry": [{"request": {"method": ["PUT"]}}]}, "method is not text"),
    "url is a number": (
        {"type": "transaction", "entry": [{"resource": patient("x"), "request": {"method": "PUT", "url": 1}}]},
        "url is not text",
    ),
    "fullUrl is a number": ({"type": "collection", "entry": [{"fullUrl": 1, "resource": patient("x")}]}, "fullUrl is"),
    "type is a list": ({"type": ["batch"], "entry": []}, "bundle of type"),
}


@pytest.mark.parametrize("name", [*RESOURCES, *BUNDLES])
def test_a_resource_that_cannot_be_stored_is_named(empty_world: World, tmp_path: Path, name: str) -> None:
    """`load` ended in a TypeError, an AttributeError, a RecursionError or an error of the driver."""
    content, reason = RESOURCES[name] if name in RESOURCES else BUNDLES[name]
    whole = tmp_path / "a.json"
    whole.write_text(json.dumps(content if name in RESOURCES else {"resourceType": "Bundle"} | content))
    with pytest.raises(BadDataError, match=reason):
        load_files(empty_world.demo, [whole])
    if name in RESOURCES:
        lines = tmp_path / "a.ndjson.gz"
        lines.write_bytes(gzip.compress(f"{json.dumps(patient('good'))}\n{json.dumps(content)}".encode()))
        (loaded,) = load_files(empty_world.demo, [lines]).values()
        assert loaded.resources == 1
        assert reason in loaded.bad[0]


def test_half_a_surrogate_pair_in_a_name_is_stored_as_hapi_does_in_a_value(empty_world: World, tmp_path: Path) -> None:
    """The name of a nested element, and a reference, went to the driver as they were, which could not encode them."""
    file = tmp_path / "a.ndjson"
    elements = {"name": [{"\ud800": "a", "family": "b\ud800"}], "managingOrganization": {"reference": "a\ud800"}}
    file.write_text(json.dumps(patient("x", **elements)))
    (loaded,) = load_files(empty_world.demo, [file]).values()
    assert (loaded.resources, loaded.bad) == (1, ())


RECORDS = [
    "UPDATE sqlonfhir.generation SET mark = 'x'",
    "UPDATE sqlonfhir.generation_view SET statement = 'SELECT 1'",
    "UPDATE sqlonfhir.generation_view SET columns = '[{}]'",
    "UPDATE sqlonfhir.generation_view SET definition = '[]'",
]


@pytest.mark.parametrize("change", RECORDS)
def test_a_record_of_a_generation_that_somebody_changed_is_named(published_cohort: World, change: str) -> None:
    """Every door ended in a ValueError, a TypeError or a KeyError."""
    world = published_cohort
    with world.database.connect() as connection:
        connection.execute(change.encode())
    for door in (
        world.serving.generation,
        lambda: world.serving.query("patients"),
        lambda: world.serving.query("patients", mode="batch"),
        lambda: check_parity(world.serving, "batch"),
        world.poll,
        world.refresh,
    ):
        with pytest.raises(GenerationUnreadableError, match="generation 1 is not what a refresh writes"):
            door()


def test_a_status_without_rights_is_an_error_of_ours(published_cohort: World) -> None:
    """It raised the driver's error, which the command line alone gave a meaning."""
    role = f"nobody_{published_cohort.database.url.database}"
    with published_cohort.database.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        url = published_cohort.database.url.set(username=role).render_as_string(hide_password=False)
        urls = ServerUrls(url, "redis://127.0.0.1:1/0", embedded_postgres=False, embedded_redis=False)
        try:
            with (
                Deployment(urls, published_cohort.views, Settings()) as deployment,
                pytest.raises(QueryFailedError, match="permission denied for schema sqlonfhir"),
            ):
                collect_status(deployment)
        finally:
            connection.execute(f"DROP ROLE {role}".encode())


OVERLAYS = [
    ("rows:", b"\xff"), ("rows:", b"x"), ("rows:", b'{"k": [-1, "a"], "s": 1}'), ("rows:", b"[]"), ("seen:", b"\xff"),
    ("state", b"\x00"), ("state", b"null"), ("polls", b"x"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), OVERLAYS)
def test_an_overlay_that_somebody_wrote_into_is_named_or_made_again(
    published_cohort: World, redis_url: str, key: str, value: bytes
) -> None:
    """Live questions, polls and parity ended in a UnicodeDecodeError, ValueError, TypeError or KeyError."""
    world = published_cohort
    world.demo.update(patient("z"))
    world.poll()
    with redis.Redis.from_url(redis_url) as client:
        for name in client.scan_iter(f"{world.settings.redis_prefix}:{key}*"):
            if key == "polls":
                client.zadd(name, {value: 2**52})
                continue
            for field in client.hkeys(name):
                if key != "state" or field in {b"revision", b"views"}:
                    client.hset(name, field, value)
    for door in (
        lambda: world.serving.query("patients"),
        lambda: world.serving.select("SELECT count(*) AS n FROM patients", compare=True),
        lambda: check_parity(world.serving, "live", sample=None, patience_s=0),
        world.poll,
    ):
        with suppress(LambdaPipelineError):
            door()
    world.poller.poll(rebuild=True)
    world.assert_exact()


def test_a_mark_that_somebody_wrote_into_is_named_and_not_used(
    published_cohort: World, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As many marks as there were polls, and one of them is none: the count alone does not tell."""
    world = published_cohort
    world.demo.update(patient("z"))
    world.poll()
    with redis.Redis.from_url(redis_url) as client:
        name = f"{world.settings.redis_prefix}:polls"
        for member, number in client.zrange(name, 0, -1, withscores=True):
            client.zrem(name, member)
            client.zadd(name, {b"x": number})
    answer = world.serving.query("patients", freshness_target_s=3600)
    assert (answer.row_count, answer.sources[-1]) == (4, "hapi")
    assert "the mark of a poll is not what a poll writes" in caplog.text
    world.poller.poll(rebuild=True)
    world.assert_exact()
