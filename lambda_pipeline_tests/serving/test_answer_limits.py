"""What one question may take: rows, bytes, connections. Beyond that it ends with a code."""

from collections.abc import Callable

import psycopg
import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.errors import AnswerTooLargeError, HapiUnavailableError, QueryFailedError
from lambda_pipeline.serving import Serving
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

MANY = "SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 5000) AS n"


@pytest.fixture
def small(make_world: Callable[..., World]) -> World:
    world = make_world(answer_max_rows=1_000, answer_max_bytes=300_000)
    for number in range(3):
        world.demo.update(patient(f"p{number}"))
    world.refresh()
    return world


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT n FROM generate_series(1, 5000) AS n", "larger than 1,000 rows .*LAMBDA_PIPELINE_ANSWER_MAX_ROWS"),
        (MANY, "larger than 300,000 bytes .*LAMBDA_PIPELINE_ANSWER_MAX_BYTES"),
        ("SELECT ARRAY[repeat('x', 400000)] AS x", "300,000 bytes"),
        ("SELECT to_jsonb(repeat('x', 400000)) AS x", "300,000 bytes"),
        ("SELECT jsonb_build_object(repeat('x', 400000), 1) AS x", "300,000 bytes"),
        ("SELECT repeat('x', 400000)::bytea AS x", "300,000 bytes"),
    ],
)
def test_an_answer_beyond_the_limits_is_refused_by_name(small: World, statement: str, said: str) -> None:
    with pytest.raises(AnswerTooLargeError, match=said):
        small.serving.select(statement)
    assert small.serving.select("SELECT count(*) AS n FROM patients").frame["n"][0] == 3


def test_a_limit_in_the_question_keeps_below(small: World) -> None:
    answer = small.serving.select(MANY, limit=100)
    assert (len(answer.frame), answer.row_count) == (100, 5_000)


def test_a_view_beyond_the_limits_is_refused_too(make_world: Callable[..., World]) -> None:
    world = make_world(answer_max_rows=2)
    for number in range(3):
        world.demo.update(patient(f"p{number}"))
    world.refresh()
    with pytest.raises(AnswerTooLargeError):
        world.serving.query("patients")
    assert world.serving.query("patients", limit=2).row_count == 3


def test_a_query_that_gives_too_much_does_not_go_on(small: World) -> None:
    with pytest.raises(AnswerTooLargeError):
        small.serving.select(
            "SELECT a, b, c FROM generate_series(1, 9000) a, generate_series(1, 9000) b, generate_series(1, 9000) c"
        )
    with small.database.connect() as connection:
        (running,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        ).fetchone() or (None,)
    assert running == 0


def test_an_answer_without_rows_has_its_columns(small: World) -> None:
    answer = small.serving.select("SELECT id, 1.5::numeric(4,2) AS n FROM patients WHERE id = 'nobody'")
    assert [(column.name, column.type) for column in answer.columns] == [("id", "text"), ("n", "numeric(4,2)")]


def test_questions_that_find_no_free_connection_end_with_a_code(small: World) -> None:
    database = Database(small.database.url.render_as_string(hide_password=False), pool_size=1)
    database.engine.pool._timeout = 0.2  # type: ignore[attr-defined]
    serving = Serving(database, small.overlay, small.views, small.settings)
    with database.connect(), database.connect(), pytest.raises(HapiUnavailableError, match="LAMBDA_PIPELINE_POOL_SIZE"):
        serving.select("SELECT 1 AS n")
    serving.close()


def test_a_role_with_limited_temporary_files_is_told_so(small: World) -> None:
    url = small.database.url
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as c:
        c.execute(f"ALTER DATABASE {url.database} SET temp_file_limit = '1MB'".encode())
    small.database.close()
    with pytest.raises(QueryFailedError, match="more temporary files"):
        small.serving.select(
            "SELECT count(*) AS n FROM (SELECT a.n, repeat('x', 900) AS x FROM generate_series(1, 20000) AS a(n)"
            " ORDER BY 2 DESC, 1 DESC OFFSET 1) AS sorted"
        )
