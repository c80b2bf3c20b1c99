"""Tables that real HAPI servers wrote: every view over them equals the view over the servers' own REST answers."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.serving import Mode, Serving
from lambda_pipeline.settings import Settings
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline.views import View, compile_view, load_views

DATA = Path(__file__).parents[1] / "data"
HAPI_8_8 = DATA / "hapi-8.8"
UPGRADED = DATA / "hapi-upgraded"

WHOLE = {
    "resourceType": "ViewDefinition",
    "name": "whole_{}",
    "status": "active",
    "resource": "{}",
    "select": [
        {
            "column": [
                {"name": "id", "path": "id", "type": "id"},
                {"name": "version", "path": "meta.versionId", "type": "id"},
                {"name": "updated", "path": "meta.lastUpdated", "type": "instant"},
                {"name": "source", "path": "meta.source", "type": "uri"},
                {"name": "profiles", "path": "meta.profile", "type": "canonical", "collection": True},
                {"name": "tags", "path": "meta.tag.code", "type": "code", "collection": True},
                {"name": "labels", "path": "meta.security.code", "type": "code", "collection": True},
            ]
        }
    ],
}


def whole(resource_type: str) -> View:
    """A view of what HAPI keeps beside the body: id, version, time, profiles, tags, security labels."""
    name = WHOLE["name"].format(resource_type.lower())
    return compile_view({**WHOLE, "name": name, "resource": resource_type})


def restore(url: str, dump: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(gzip.decompress(dump.read_bytes()))


def resources(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def expected(database: Database, view: View, documents: list[str]) -> Counter[tuple[str, ...]]:
    """The view over REST answers, by the same compiler over another provider of resources."""
    columns = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("{}::text").format(psycopg.sql.Identifier(column.name)) for column in view.columns
    )
    statement = psycopg.sql.SQL("SELECT {} FROM ({}\n) AS rows").format(
        columns, view.select(documents_relation(view.resource))
    )
    with database.connect() as connection:
        return Counter(map(comparable, connection.execute(statement, {"documents": documents}).fetchall()))


def served(serving: Serving, view: View, mode: Mode) -> Counter[tuple[str, ...]]:
    columns = ", ".join(f'"{column.name}"::text AS "{column.name}"' for column in view.columns)
    answer = serving.select(f'SELECT {columns} FROM "{view.name}"', mode=mode)
    assert not answer.quarantined
    rows = answer.frame.astype(object).where(answer.frame.notna(), None).itertuples(index=False)
    return Counter(map(comparable, rows))


def comparable(row: Any) -> tuple[str, ...]:
    """Lists of codes without their order: HAPI does not keep the order of tags."""
    return tuple(
        json.dumps(sorted(json.loads(value), key=str)) if isinstance(value, str) and value[:1] == "[" else str(value)
        for value in row
    )


def pipeline(url: str, redis_url: str, views: list[View]) -> tuple[Database, Serving, Poller]:
    settings, database = Settings(), Database(url)
    overlay = Overlay(redis_url, settings)
    return database, Serving(database, overlay, views, settings), Poller(database, overlay, views, settings)


def test_every_view_over_hapi_8_8_equals_the_view_over_its_rest_answers(database_url: str, redis_url: str) -> None:
    restore(database_url, HAPI_8_8 / "tables.sql.gz")
    documents = resources(HAPI_8_8 / "current.ndjson.gz")
    types = sorted({json.loads(text)["resourceType"] for text in documents})
    views = [*load_views(Settings().view_definitions), *map(whole, types)]
    database, serving, capture = pipeline(database_url, redis_url, views)
    refresh(database, views, serving.settings)
    capture.poll()
    assert len(documents) == 965
    assert sum(text.count("\\u0000") > 0 for text in documents) == 5
    for view in views:
        wanted = expected(database, view, documents)
        for mode in ("live", "batch", "source"):
            assert served(serving, view, mode) == wanted, (view.name, mode)
    serving.close()


def test_the_same_with_every_resource_in_the_overlay_only(database_url: str, redis_url: str) -> None:
    restore(database_url, HAPI_8_8 / "tables.sql.gz")
    documents = resources(HAPI_8_8 / "current.ndjson.gz")
    views = [*load_views(Settings().view_definitions), whole("Patient"), whole("Observation")]
    database, serving, capture = pipeline(database_url, redis_url, views)
    with database.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM public.hfj_resource")
        connection.execute("DELETE FROM public.hfj_res_ver_prov")
        connection.execute("ALTER TABLE public.hfj_res_ver DROP CONSTRAINT fk_resource_history_resource")
        connection.execute("ALTER TABLE public.hfj_res_tag DROP CONSTRAINT fk_restag_resource")
        connection.execute("TRUNCATE public.hfj_resource CASCADE")
        refresh(database, views, serving.settings)
        capture.poll()
        connection.execute("INSERT INTO public.hfj_resource SELECT * FROM kept")
    # 965 living and 21 deleted, less the 113 Encounters, which no view looks at.
    assert capture.poll().count == 965 + 21 - 113
    for view in views:
        assert served(serving, view, "live") == expected(database, view, documents), view.name
    serving.close()


@pytest.mark.parametrize(("folder", "count"), [("6.2", 12), ("6.4-to-7.2-to-8.8", 30)])
def test_databases_that_lived_through_upgrades(database_url: str, redis_url: str, folder: str, count: int) -> None:
    data = UPGRADED / folder
    restore(database_url, data / "tables.sql.gz")
    documents = resources(data / "current.ndjson.gz")
    assert len(documents) == count
    types = sorted({json.loads(text)["resourceType"] for text in documents})
    views = [*load_views(Settings().view_definitions), *map(whole, types)]
    database, serving, capture = pipeline(database_url, redis_url, views)
    refresh(database, views, serving.settings)
    capture.poll()
    for view in views:
        assert served(serving, view, "live") == expected(database, view, documents), view.name
    serving.close()


def test_two_rows_with_one_logical_id_are_named_and_neither_is_dropped_silently(
    database_url: str, redis_url: str
) -> None:
    """A PUT on an old id, on a database upgraded without HAPI's migrator, made a second resource of that id."""
    data = UPGRADED / "6.2-to-7.2"
    restore(database_url, data / "tables.sql.gz")
    views = [whole("Patient")]
    database, serving, capture = pipeline(database_url, redis_url, views)
    refresh(database, views, serving.settings)
    capture.poll()
    for mode in ("live", "batch", "source"):
        answer = serving.query("whole_patient", mode=mode)
        assert "v62-2" not in set(answer.frame["id"])
        assert {found.resource for found in answer.quarantined} == {"Patient/v62-2"}
        assert "logical id" in answer.quarantined[0].reason
    serving.close()
