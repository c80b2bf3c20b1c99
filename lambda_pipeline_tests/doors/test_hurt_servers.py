"""The servers themselves are hostile: rights, limits, connections and commands that are taken away."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
import redis
import sqlalchemy as sa

from lambda_pipeline.api import Deployment, LambdaPipelineError, Settings
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.deployment import ServerUrls
from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline.operations.parity import check_parity
from lambda_pipeline.operations.status import collect_status
from lambda_pipeline.settings import load_settings
from lambda_pipeline.views import compile_view
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import Hospital, make_door
from lambda_pipeline_tests.support.definitions import DEFINITIONS
from lambda_pipeline_tests.support.hospital import condition, patient
from lambda_pipeline_tests.support.servers import OwnRedis

VIEWS = [compile_view(definition) for definition in DEFINITIONS]
TABLES = ["generation", "generation_view", "quarantine", "resource_key", "patients", "patients__1", "conditions__1"]
HAPI = ["hfj_resource", "hfj_res_ver", "hfj_res_tag", "hfj_tag_def"]
HURTS = {
    **{f"no {table}": f"REVOKE ALL ON sqlonfhir.{table} FROM hurt" for table in TABLES},
    **{f"no {table}": f"REVOKE ALL ON {table} FROM hurt" for table in HAPI},
    "read only tables": "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sqlonfhir FROM hurt",
    "no schema": "REVOKE ALL ON SCHEMA sqlonfhir FROM hurt",
    "no source schema": "REVOKE ALL ON SCHEMA public FROM hurt, PUBLIC",
    "no temporary tables": "DO $$BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC',"
    " current_database()); END$$",
    "1 ms": "ALTER ROLE hurt SET statement_timeout = '1ms'",
    "5 ms": "ALTER ROLE hurt SET statement_timeout = '5ms'",
    "1 ms for locks": "ALTER ROLE hurt SET lock_timeout = '1ms'",
    "1 ms idle": "ALTER ROLE hurt SET idle_session_timeout = '1ms'",
    "read only": "ALTER ROLE hurt SET default_transaction_read_only = on",
    "serializable": "ALTER ROLE hurt SET default_transaction_isolation = 'serializable'",
    "little memory": "ALTER ROLE hurt SET temp_file_limit = 0; ALTER ROLE hurt SET work_mem = '64kB'",
    "two connections": "ALTER ROLE hurt CONNECTION LIMIT 2",
    "no table of views": "ALTER TABLE sqlonfhir.patients__1 RENAME TO elsewhere",
    "no generation": "DROP SCHEMA sqlonfhir CASCADE",
    "another column": "ALTER TABLE sqlonfhir.generation RENAME mark TO gone",
    "a broken mark": "UPDATE sqlonfhir.generation SET mark = 'x'",
    "a statement of somebody": "UPDATE sqlonfhir.generation_view SET statement = 'SELECT 1'",
    "a definition of somebody": "UPDATE sqlonfhir.generation_view SET definition = '[]', columns = '[{}]'",
    "a broken definition": "UPDATE sqlonfhir.generation_view SET statement = 'SELECT {{relation}} (', columns = '[]'",
}  # fmt: skip
BROKEN_RECORDS = {"another column", "a broken mark", "a broken definition"}
COMMANDS = [
    ("query", "patients", "--count"), ("query", "patients", "--count", "--mode", "source"), ("status", "--json"),
    ("check",), ("poll",), ("poll", "--rebuild"), ("refresh",), ("refresh", "--full"), ("parity", "--all"), ("views",
    "list"),
    ("views", "drop", "patients"), ("query", "conditions", "--mode", "batch", "--format", "csv"),
]  # fmt: skip


@pytest.fixture
def hurt(database_url: str, redis_url: str) -> Iterator[Callable[[str], ServerUrls]]:
    """`hurt(name)`: a small hospital whose role was hurt as HURTS says."""
    owner = ServerUrls(database_url, redis_url, embedded_postgres=False, embedded_redis=False)
    with Deployment(owner, VIEWS, Settings()) as deployment:
        demo = DemoHapi(deployment.database, referential_integrity=False)
        demo.install()
        for logical_id in ("a", "b"):
            demo.update(patient(logical_id, birthDate="1970-01-01"))
            demo.update(condition(f"c-{logical_id}", logical_id))
        deployment.refresh()
        demo.update(patient("a", "female"))
        deployment.poller.poll()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            CREATE ROLE hurt LOGIN;
            GRANT ALL ON SCHEMA public, sqlonfhir TO hurt;
            GRANT ALL ON ALL TABLES IN SCHEMA public, sqlonfhir TO hurt;
        """)
        url = sa.make_url(database_url).set(username="hurt").render_as_string(hide_password=False)

        def call(name: str) -> ServerUrls:
            connection.execute(HURTS[name].encode())
            return ServerUrls(url, redis_url, embedded_postgres=False, embedded_redis=False)

        yield call
        connection.execute("DROP OWNED BY hurt CASCADE")
        connection.execute("DROP ROLE hurt")


def calls(deployment: Deployment) -> list[Callable[[], Any]]:
    serving = deployment.serving
    return [
        serving.generation,
        *(lambda mode=mode: serving.query("patients", mode=mode) for mode in ("live", "batch", "source")),
        lambda: serving.query("conditions", freshness_target_s=0),
        lambda: serving.select("SELECT count(*) AS n FROM patients", compare=True),
        lambda: serving.select("SELECT p.id FROM patients p JOIN conditions c ON c.patient_id = p.id", mode="source"),
        lambda: serving.select("SELECT 1 AS n", limit=1),
        deployment.poller.poll,
        lambda: deployment.poller.poll(rebuild=True),
        lambda: collect_status(deployment),
        lambda: check_parity(serving, "live", sample=None),
        lambda: check_parity(serving, "batch", sample=2),
        deployment.refresh,
        lambda: deployment.refresh(full=True),
    ]


def try_all(deployment: Deployment, choose: random.Random, times: int) -> None:
    """Call in any order; an answer is the right one, whatever was hurt before."""
    for call in choose.choices(calls(deployment), k=times):
        with suppress(LambdaPipelineError):
            call()
        with suppress(LambdaPipelineError):
            answer = deployment.serving.query("patients", mode=choose.choice(["live", "batch", "source"]))
            assert answer.row_count == 2


@pytest.mark.parametrize("name", HURTS)
def test_every_door_of_a_hurt_server_ends_with_an_error_of_ours(
    hurt: Callable[[str], ServerUrls], hospital: Hospital, name: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    urls = hurt(name)
    with Deployment(urls, VIEWS, Settings()) as deployment:
        try_all(deployment, hostile.chooser(name, 0), 4)
    for variable, value in hospital.environment().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("HAPI_DB_URL", urls.hapi_db)
    monkeypatch.setenv("REDIS_URL", urls.redis)
    door = make_door(capsys)
    for command in hostile.chooser(name, 1).sample(COMMANDS, 3):
        done = door(*command)
        if command[0] == "query" and done.code == 0 and "patients" in command:
            assert done.out == "2\n"


def test_a_pool_that_is_exhausted_is_an_error_of_ours(
    hurt: Callable[[str], ServerUrls], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Deployment(hurt("serializable"), VIEWS, Settings(pool_size=1)) as deployment:
        monkeypatch.setattr(deployment.database.engine.pool, "_timeout", 0.05)
        choose = hostile.chooser("pool", 0)
        for taken in (1, 2):
            with ExitStack() as stack:
                for _ in range(taken):
                    stack.enter_context(deployment.database.connect())
                try_all(deployment, choose, 6)


@pytest.mark.parametrize(
    "rules",
    [
        "-@all", "+@all -@write", "+@all -@read", "+@all -@scripting", "+@all -hgetall -hget -hmget",
        "+@all -info -config",
        "+@all -@connection", "+@all -multi -exec", "+@all resetkeys ~other*", "+@all -memory -object -scan",
        "+@all -client",
    ],
)  # fmt: skip
def test_a_redis_that_refuses_commands_is_an_error_of_ours(
    hurt: Callable[[str], ServerUrls], own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], hospital: Hospital, rules: str,
) -> None:  # fmt: skip
    urls = hurt("serializable")
    limited = ServerUrls(urls.hapi_db, own_redis.url, embedded_postgres=False, embedded_redis=False)
    with redis.Redis.from_url(own_redis.url) as client, Deployment(limited, VIEWS, Settings()) as deployment:
        deployment.poller.poll()
        client.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", *rules.split())
        address = own_redis.url.replace("unix://", "unix://limited:x@", 1).replace("redis://", "redis://limited:x@", 1)
        hurt_urls = ServerUrls(urls.hapi_db, address, embedded_postgres=False, embedded_redis=False)
        with Deployment(hurt_urls, VIEWS, Settings()) as hurt_deployment:
            if rules == "-@all":
                with pytest.raises(RedisUnavailableError):
                    hurt_deployment.poller.poll()
            try_all(hurt_deployment, hostile.chooser(rules, 0), 10)
        for variable, value in hospital.environment().items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("HAPI_DB_URL", urls.hapi_db)
        monkeypatch.setenv("REDIS_URL", address)
        load_settings.cache_clear()
        door = make_door(capsys)
        for command in hostile.chooser(rules, 1).sample(COMMANDS, 4):
            door(*command)
