"""Tables that real HAPI servers wrote: every view over them equals the view over the servers' own REST answers."""

import gzip
import json
from pathlib import Path

import psycopg
import pytest

from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import load_views
from lambda_pipeline_tests.hapi.rest_views import expected, pipeline, served, whole

DATA = Path(__file__).parents[1] / "data"
HAPI_8_8 = DATA / "hapi-8.8"
UPGRADED = DATA / "hapi-upgraded"


def restore(url: str, dump: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(gzip.decompress(dump.read_bytes()))


def resources(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


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
