"""The demo server leaves the rows that a real HAPI 8.8.0 left after the same requests."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.bodies import content_hash
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.hapi.replay import Replay, replay

ROWS = {
    "hfj_resource": """
        SELECT r.res_type, r.fhir_id, r.res_ver, r.res_version, r.has_tags, r.hash_sha256 IS NULL, r.partition_id,
            r.partition_date, r.res_type_id, r.res_language, r.search_url_present, r.sp_index_status,
            r.res_deleted_at IS NULL, r.res_deleted_at = r.res_updated, r.res_published <= r.res_updated,
            r.fhir_id = r.res_id::text
        FROM public.hfj_resource r
    """,
    "hfj_res_ver": """
        SELECT v.res_type, r.fhir_id, v.res_ver, v.res_text_vc, v.res_encoding, v.has_tags, v.res_version, v.res_text,
            v.source_uri, v.request_id, v.res_type_id, v.partition_id, v.partition_date,
            v.res_deleted_at IS NULL, v.res_deleted_at = v.res_updated, v.res_published = r.res_published,
            v.res_updated = r.res_updated,
            rank() OVER (PARTITION BY v.res_id ORDER BY v.res_updated)
        FROM public.hfj_res_ver v JOIN public.hfj_resource r USING (res_id)
    """,
    "hfj_res_tag": """
        SELECT t.res_type, r.fhir_id, t.res_type_id, t.partition_id, t.partition_date,
            d.tag_type, d.tag_system, d.tag_code
        FROM public.hfj_res_tag t JOIN public.hfj_resource r USING (res_id) JOIN public.hfj_tag_def d USING (tag_id)
    """,
    "hfj_history_tag": """
        SELECT t.res_type, r.fhir_id, v.res_ver, v.res_id = t.res_id, t.res_type_id, t.partition_id, t.partition_date,
            d.tag_type, d.tag_system, d.tag_code
        FROM public.hfj_history_tag t JOIN public.hfj_res_ver v ON v.pid = t.res_ver_pid
            JOIN public.hfj_resource r ON r.res_id = v.res_id JOIN public.hfj_tag_def d USING (tag_id)
    """,
    "hfj_tag_def": """
        SELECT tag_type, tag_system, tag_code, tag_display, tag_version, tag_user_selected FROM public.hfj_tag_def
    """,
    "hfj_resource_type": "SELECT res_type, res_type_id FROM public.hfj_resource_type",
    "hfj_forced_id": "SELECT * FROM public.hfj_forced_id",
    "hfj_res_ver_prov": "SELECT * FROM public.hfj_res_ver_prov",
    "hfj_partition": "SELECT * FROM public.hfj_partition",
}

HASHED = """
    SELECT v.res_text_vc, r.hash_sha256 FROM public.hfj_resource r JOIN public.hfj_res_ver v USING (res_id, res_ver)
    WHERE r.res_deleted_at IS NULL
"""

SCHEMA = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, datetime_precision, is_nullable,
            column_default, ordinal_position
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name LIKE 'hfj%'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


@pytest.fixture
def real(new_database: Callable[[], str], recorded: Path) -> Iterator[psycopg.Connection]:
    with psycopg.connect(new_database(), autocommit=True) as connection:
        connection.execute(gzip.decompress((recorded / "tables.sql.gz").read_bytes()))
        yield connection


@pytest.fixture
def requests(recorded: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(recorded / "requests.ndjson.gz", "rt", encoding="utf-8")]


def test_the_schema_is_the_one_hibernate_made(demo: DemoHapi, database: Database, real: psycopg.Connection) -> None:
    with database.connect() as connection:
        connection.execute("SET search_path = ''")
        for name, statement in SCHEMA.items():
            assert set(connection.execute(statement.encode())) == set(real.execute(statement.encode())), name
        connection.execute("RESET search_path")


def test_the_same_requests_leave_the_same_rows(
    demo: DemoHapi, database: Database, requests: list[dict[str, Any]], real: psycopg.Connection
) -> None:
    with database.connect() as connection:  # so that ids given by this server are not those of the log by chance
        connection.execute("SELECT setval('seq_resource_id', 70000)")

    done = replay(demo, requests)

    assert done.statuses == [request["status"] for request in requests]
    assert len(done.ids) > 50
    assert all(here != there for there, here in done.ids.items())
    for request, locations in zip(requests, done.locations, strict=True):
        logged = request.get("locations") or [request.get("location")]
        assert logged in ([None], locations), request["n"]
    with database.connect() as connection:
        for table, statement in ROWS.items():
            wanted = Counter(real.execute(statement.encode()).fetchall())
            found = Counter(_as_logged(row, done, table) for row in connection.execute(statement.encode()))
            assert found == wanted, f"{table}: {sum((wanted - found).values())} missing of {sum(wanted.values())}"
        ours = connection.execute(HASHED).fetchall()
    for text, stored in [*real.execute(HASHED), *ours]:
        assert stored == content_hash(text)
    assert len(ours) == 965


def _as_logged(row: tuple[Any, ...], done: Replay, table: str) -> tuple[Any, ...]:
    """The row with the ids of the log."""
    back = {here: there for there, here in done.ids.items()}
    if table in {"hfj_tag_def", "hfj_resource_type", "hfj_forced_id", "hfj_res_ver_prov", "hfj_partition"}:
        return row
    key = f"{row[0]}/{row[1]}"
    renamed = (row[0], back.get(key, key).split("/")[1], *row[2:])
    if table == "hfj_res_ver" and row[3] is not None:
        text = re.sub(r"\b[A-Z][a-z]+/\d+\b", lambda found: back.get(found.group(), found.group()), row[3])
        return (*renamed[:3], text, *renamed[4:])
    return renamed
