"""`compare` says what batch alone would answer, whatever types the columns have, and is refused where it cannot."""

import pytest

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World


@pytest.fixture
def changed(empty_world: World) -> World:
    """Two patients in the generation; since then `a` became female."""
    for logical_id in ("a", "b"):
        empty_world.demo.update(patient(logical_id, "male"))
    empty_world.refresh()
    empty_world.demo.update(patient("a", "female"))
    empty_world.poll()
    return empty_world


BOX = "format('((0,0),(%s,%s))', length(gender), 12 / length(gender))::box"
COLUMNS = [
    "json_build_object('gender', gender)",
    "row_to_json(p)",
    "(SELECT json_agg(x ORDER BY x) FROM unnest(ARRAY[p.id, gender]) AS x)",
    "ARRAY[to_json(gender)]",
    "ROW(1, to_json(gender))",
    "format('(%s,0.1)', length(gender))::point",
    "ARRAY[format('(%s,0.1)', length(gender))::point]",
    "format('<(0,0),%s>', length(gender))::circle",
    "format('((0,0),(0,%s))', length(gender))::path",
    BOX,
    "format('[0,%s]', length(gender))::int4range",
    "NULL::xml AS no_value, gender",
    "to_tsvector(gender)",
    "to_jsonb(gender)",
    "ARRAY[gender]",
    "length(gender)",
    "convert_to(gender, 'UTF8')",
]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_any_type_can_be_compared(changed: World, column: str) -> None:
    """`json_agg` ended with: could not identify an equality operator for type json."""
    answer = changed.serving.select(f'SELECT {column} AS "x 100%" FROM patients AS p', compare=True)
    counts = answer.counts
    assert counts is not None
    assert (counts.total, counts.batch_count, counts.added, counts.removed) == (2, 2, 1, 1)


def test_boxes_of_one_area_are_not_taken_for_equal(changed: World) -> None:
    """PostgreSQL's `=` of boxes compares areas: a box of 4 x 3 equals one of 6 x 2."""
    text = f"SELECT {BOX} AS x FROM patients"
    equal = changed.serving.select(f"SELECT count(*) AS n FROM ({text}) AS a, ({text}) AS b WHERE a.x = b.x")
    assert equal.frame["n"][0] == 4
    counts = changed.serving.select(text, compare=True).counts
    assert counts is not None
    assert (counts.added, counts.removed) == (1, 1)


def test_a_comparison_of_json_counts_equal_rows_as_often_as_they_come(changed: World) -> None:
    for logical_id in ("c", "d"):
        changed.demo.update(patient(logical_id, "male"))
    changed.poll()
    counts = changed.serving.select("SELECT to_json(gender) AS x FROM patients", compare=True).counts
    assert counts is not None
    assert (counts.total, counts.batch_count, counts.added, counts.removed) == (4, 2, 2, 0)


def test_numbers_are_compared_by_value(changed: World) -> None:
    """A number of which only the notation differs is the same number, as in SQL."""
    statement = "SELECT CASE gender WHEN 'female' THEN 6.50 ELSE 6.5 END AS x FROM patients"
    counts = changed.serving.select(statement, compare=True).counts
    assert counts is not None
    assert (counts.added, counts.removed) == (0, 0)


def test_a_recompute_is_not_compared_with_itself(changed: World) -> None:
    with pytest.raises(BadRequestError, match=r"compare with mode source: .* has no batch layer to compare with"):
        changed.serving.select("SELECT id FROM patients", mode="source", compare=True)
