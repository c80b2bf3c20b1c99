"""Reading documents and code sets: nothing is guessed, and what is wrong is named with its place."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path

import pytest

from lambda_pipeline.cohorts.code_sets import read_code_set
from lambda_pipeline.cohorts.document import parse_cohort, parse_text, read_cohort, read_document
from lambda_pipeline.cohorts.jsonschema import json_schema
from lambda_pipeline.errors import BadRequestError, CohortDefinitionError
from lambda_pipeline_tests.cohorts.test_lint import GOOD
from lambda_pipeline_tests.support.servers import PROJECT


def test_only_plain_numbers_and_booleans_are_no_text() -> None:
    text = '[1, -2, 6.50, 1e3, 007, 4548-4, 2020-01-01, 1:30, yes, true, null, ~, "5", 0x10, 1_000, .5, NaN]'
    assert parse_text(text, name="x") == [
        1, -2, Decimal("6.50"), Decimal("1e3"), "007", "4548-4", "2020-01-01", "1:30", "yes", True, None, None, "5",
        "0x10", "1_000", ".5", "NaN",
    ]  # fmt: skip
    assert str(parse_text("6.50", name="x")) == "6.50"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x", "line 2, column 4: aliases are not read here"),
        ("a: 1\na: 2", "line 2, column 1: a key stands twice"),
        ("a: !!python/object/apply:os.system [ls]", "tags are not read here"),
        ("a: !!int '1'", "tags are not read here"),
        ("? [a]\n: 1", "a key is not text"),
        ("[" * 5_000, "x"),
        ("a: [1", "expected ',' or ']'"),
        ("\x00", "x"),
    ],
)
def test_what_yaml_would_guess_or_run_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        parse_text(text, name="x")
    assert reason in str(raised.value)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', "{", "[" * 100_000])
def test_json_is_read_as_strictly(text: str) -> None:
    with pytest.raises(BadRequestError):
        parse_text(text, name="x", as_json=True)


def test_yaml_and_json_give_the_same_definition(tmp_path: Path) -> None:
    yaml, as_json = tmp_path / "x.yaml", tmp_path / "x.json"
    yaml.write_text(GOOD.replace("PIN", "0" * 64))
    as_json.write_text(json.dumps(read_document(yaml), default=float))
    assert read_cohort(yaml) == read_cohort(as_json)
    assert read_cohort(yaml).sha256 == read_cohort(as_json).sha256


def test_the_digest_of_a_definition_is_that_of_what_it_asks() -> None:
    text = GOOD.replace("PIN", "0" * 64)
    first = parse_cohort(parse_text(text, name="x"))
    renamed = parse_cohort(parse_text(text.replace("name: Good", "name: Better").replace("Adults", "Grown"), name="x"))
    changed = parse_cohort(parse_text(text.replace("at_least: 18", "at_least: 21"), name="x"))
    assert first.sha256 == renamed.sha256
    assert first.sha256 != changed.sha256


def test_places_are_those_of_the_document() -> None:
    with pytest.raises(CohortDefinitionError) as raised:
        parse_cohort(
            {
                "name": "x",
                "rules": [
                    {"name": "a", "match": "AT_LEAST", "members": [{"age": {"at_least": "x"}}, {"agge": 1}]},
                    {"name": "b", "match": "ALL", "members": [{"view": "v", "where": [{"column": "c"}]}]},
                    {"name": "c", "match": "ALL", "members": [{"view": "v", "window": {}}, {"sex": []}]},
                    {"name": "d", "match": "SOME", "members": []},
                ],
            }
        )
    assert [finding.path for finding in raised.value.findings] == [
        "$.rules[0].members[0].age.at_least",
        "$.rules[0].members[1]",
        "$.rules[1].members[0].where[0]",
        "$.rules[2].members[0].window",
        "$.rules[2].members[1].sex",
        "$.rules[3].match",
        "$.rules[3].members",
    ]
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    "content", [None, [], "x", 5, {"name": "x", "rules": {}}, {"name": "x\ny"}, {"name": "\ud800"}]
)
def test_what_is_no_definition_is_refused(content: object) -> None:
    with pytest.raises(CohortDefinitionError):
        parse_cohort(content)


def test_groups_may_not_be_nested_without_end() -> None:
    group: dict[str, object] = {"sex": ["male"]}
    for _ in range(500):
        group = {"match": "ALL", "members": [group]}
    with pytest.raises(CohortDefinitionError):
        parse_cohort({"name": "x", "rules": [{"name": "a", **group}]})


def test_the_schema_names_every_key_of_the_shipped_definitions() -> None:
    text = json.dumps(json_schema())
    assert json_schema()["$schema"].endswith("2020-12/schema")
    for word in ("or_missing", "whole_word", "distinct_days", "AT_LEAST", "in_code_set", "age_bands"):
        assert f'"{word}"' in text


CHILDREN = "child,parent\nb,a\nc,b\na,c\nx,y\n"
SET = "title: T\nsystem: urn:one\nversion: '1'\ncodes:\n  - {{code: a, descendants: true}}\n  - {{code: y}}\n{more}"


def write(folder: Path, children: str, *, sha256: str | None = None) -> None:
    (folder / "tree.csv").write_text(children)
    sha256 = sha256 or hashlib.sha256(children.encode()).hexdigest()
    (folder / "s.yaml").write_text(SET.format(more=f"hierarchy: {{file: tree.csv, sha256: {sha256}}}\n"))


def test_descendants_are_found_also_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, CHILDREN)
    found = read_code_set(tmp_path, "s")
    assert found.codes == ("a", "b", "c", "y")
    assert found.sha256 == hashlib.sha256((tmp_path / "s.yaml").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("children", "sha256", "reason"),
    [
        (CHILDREN, "0" * 64, "another SHA-256"),
        ("parent,child\nb,a\n", None, "the header is not child,parent"),
        ("child,parent\nb\n", None, "not CSV of two columns"),
    ],
)
def test_a_hierarchy_that_is_not_the_stated_one_is_refused(
    children: str, sha256: str | None, reason: str, tmp_path: Path
) -> None:
    write(tmp_path, children, sha256=sha256)
    with pytest.raises(BadRequestError, match=reason):
        read_code_set(tmp_path, "s")


def test_descendants_need_a_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SET.format(more=""))
    with pytest.raises(BadRequestError, match="descendants need a hierarchy file"):
        read_code_set(tmp_path, "s")


def test_shipped_code_sets_can_be_read() -> None:
    folder = PROJECT / "sql" / "code_sets"
    assert read_code_set(folder, "diabetes_mellitus").codes == ("44054006", "46635009", "73211009")
    with pytest.raises(BadRequestError, match="letters, digits"):
        read_code_set(folder, "../queries/x")
