"""What the rest of the project relies on: key columns, digest, complete bodies, one parse per resource."""

import json
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql

from lambda_pipeline.database import Connection
from lambda_pipeline.views import compile_view


def view(*paths: str, resource: str = "Patient", **more: Any) -> dict[str, Any]:
    columns = [{"name": f"x{index}", "path": path} for index, path in enumerate(paths)]
    return {"resource": resource, "select": [{"column": columns}], **more}


@pytest.mark.parametrize(
    ("path", "complete"),
    [
        ("id", False),
        ("Patient.id", False),
        ("getResourceKey()", False),
        ("%resource.id", False),
        ("name.id", False),
        ("name.where(id = 'x').exists()", False),
        ("meta.versionId", True),
        ("meta.tag.where(code = 'x').exists()", True),
        ("where(id = 'x').exists()", True),
        ("where(meta.exists()).exists()", True),
        ("$this", True),
        ("name.where(%resource.meta.exists()).exists()", True),
    ],
)
def test_a_view_says_when_it_needs_id_and_meta_in_the_body(path: str, complete: bool) -> None:
    collection = [{"name": "x", "path": path, "collection": path == "name.id"}]
    assert compile_view({"resource": "Patient", "select": [{"column": collection}]}).complete_body is complete


def test_a_whole_resource_in_a_list_needs_a_complete_body() -> None:
    whole = [{"name": "x", "path": "$this", "collection": True}]
    assert compile_view({"resource": "Patient", "select": [{"column": whole}]}).complete_body


def test_the_digest_follows_rows_and_not_words() -> None:
    one = compile_view(view("gender", name="v", description="a", title="t"))
    assert one.digest == compile_view(view("gender", name="v", description="b")).digest
    assert len(one.digest) == 64
    others = [view("birthDate", name="v"), view("gender", name="v", where=[{"path": "active"}])]
    renamed = {"resource": "Patient", "name": "v", "select": [{"column": [{"name": "y", "path": "gender"}]}]}
    indexed = view("gender", name="v")
    indexed["select"][0]["column"][0]["tag"] = [{"name": "lambda_pipeline/index", "value": "true"}]
    assert len({compile_view(other).digest for other in (*others, renamed, indexed)} | {one.digest}) == 5


def test_compiling_is_deterministic() -> None:
    definition = view("name.where(given.first() = 'x').family", "contact.name.family.join(',')", name="v")
    assert compile_view(definition).statement == compile_view(json.loads(json.dumps(definition))).statement


def test_key_columns_come_from_the_relation_and_not_from_the_body(connection: Connection) -> None:
    relation = sql.SQL(
        "SELECT 7 AS partition, 'Patient' AS type, 'key' AS id, 3::bigint AS version, now() AS last_updated,"
        " '{\"gender\": \"male\"}'::jsonb AS body WHERE '100%%' LIKE '%%\\%%'"
    )
    compiled = compile_view(view("id", "getResourceKey()", "gender", "'50%'", name="v"))
    assert connection.execute(compiled.select(relation), {}).fetchall() == [(7, "key", 3, "key", "key", "male", "50%")]


def test_a_body_is_parsed_once(connection: Connection) -> None:
    compiled = compile_view(view("gender", "birthDate", "active", "name.given.join('')", name="v"))
    relation = sql.SQL(
        "SELECT 1 AS partition, 'Patient' AS type, i::text AS id, 1::bigint AS version, now() AS last_updated,"
        " ('{\"n\":' || i || '}')::jsonb AS body FROM generate_series(1, 2) i"
    )
    plan = connection.execute(sql.SQL("EXPLAIN (VERBOSE) ") + compiled.select(relation), {}).fetchall()
    assert sum(line.count('{"n":') for (line,) in plan) == 1, plan


def test_an_index_is_asked_for_by_tag() -> None:
    tag = [{"name": "lambda_pipeline/index", "value": "true"}, {"name": "other", "value": "ignored"}]
    columns = [{"name": "a", "path": "id", "tag": tag}, {"name": "b", "path": "id"}]
    compiled = compile_view({"resource": "Patient", "select": [{"column": columns}]})
    assert [column.indexed for column in compiled.columns] == [True, False]


def test_comments_name_the_columns_and_cannot_be_left() -> None:
    statement = compile_view(view("'x'\r\n /* ; DROP TABLE x; */ + 'y'", name="v")).statement
    (comment,) = [line for line in statement.splitlines() if "--" in line and "x0" in line]
    assert comment.strip() == "-- x0: 'x' /* ; DROP TABLE x; */ + 'y'"


def test_a_float_in_a_definition_is_read_as_it_was_written(connection: Connection) -> None:
    compiled = compile_view(view("%c", constant=[{"name": "c", "valueDecimal": 0.1}]))
    relation = sql.SQL(
        "SELECT 1 AS partition, '' AS type, '' AS id, 1 AS version, now() AS last_updated, '{}'::jsonb body"
    )
    assert connection.execute(compiled.select(relation), {}).fetchall()[0][3] == Decimal("0.1")


def test_strings_are_ordered_the_same_on_every_server() -> None:
    assert 'COLLATE "C" <' in compile_view(view("gender < 'm'")).statement
