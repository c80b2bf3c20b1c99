"""Library resources: what is built of a file, and what is read back or refused by its place."""

import base64
import copy
import json
from typing import Any

import pytest

from lambda_pipeline.errors import BadRequestError, SavedQueryError
from lambda_pipeline.queries import SavedQuery, ask_query, read_queries, read_sql
from lambda_pipeline.queries.dependencies import definitions_of
from lambda_pipeline.queries.library import build_library, library_text
from lambda_pipeline.queries.library_reader import read_library
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import read_views
from lambda_pipeline_tests.support.worlds import World

URL = "https://example.org/ViewDefinition/patients"
SQL = f"""-- @name: by_gender
-- @title: Patients
-- @author: Somebody
-- @version: 2.1
-- @param: gender code As FHIR writes it. (example: male)
-- @relatedDependency: {URL} as person
SELECT person.id FROM person WHERE person.gender = :gender -- ü
"""
GUIDE = "http://hl7.org/fhir/uv/sql-on-fhir"
DEFINITIONS = {"patients": {"url": URL}}


def built() -> dict[str, Any]:
    return build_library(read_sql(SQL, "by_gender.sql").require(), DEFINITIONS)


def encoded(sql: str) -> str:
    return base64.b64encode(sql.encode()).decode()


def read(library: Any) -> SavedQuery:
    return read_library(json.dumps(library), "q.json").require()


def test_a_library_has_what_the_profile_wants() -> None:
    assert built() == {
        "resourceType": "Library",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/SQLQuery"]},
        "version": "2.1",
        "name": "by_gender",
        "title": "Patients",
        "status": "draft",
        "type": {"coding": [{"system": f"{GUIDE}/CodeSystem/LibraryTypesCodes", "code": "sql-query"}]},
        "author": [{"name": "Somebody"}],
        "relatedArtifact": [{"type": "depends-on", "label": "person", "resource": URL}],
        "parameter": [
            {
                "name": "gender", "use": "in", "min": 1, "max": "1",
                "documentation": "As FHIR writes it. (example: male)", "type": "code",
            }
        ],
        "content": [
            {
                "extension": [{"url": f"{GUIDE}/StructureDefinition/sql-text", "valueString": SQL}],
                "contentType": "application/sql",
                "data": encoded(SQL),
            }
        ],
    }  # fmt: skip


def test_bytes_are_always_the_same() -> None:
    assert library_text(built()) == library_text(built())
    assert library_text(built()).endswith("}\n")
    assert json.loads(library_text(built())) == built()


def test_what_is_built_is_read_back() -> None:
    settings = Settings()
    definitions = definitions_of(read_views(settings.view_definitions))
    for file in read_queries(settings.queries).files:
        library = build_library(file.require(), definitions)
        assert build_library(read(library), definitions) == library
        assert len(library["relatedArtifact"]) == len(file.require().dependencies)


def test_a_query_without_a_header_names_the_views_that_it_reads() -> None:
    plain = read_sql("SELECT id FROM patients", "plain.sql").require()
    assert build_library(plain, DEFINITIONS)["relatedArtifact"] == [
        {"type": "depends-on", "label": "patients", "resource": URL}
    ]
    with pytest.raises(SavedQueryError, match="patients has no URL"):
        build_library(plain, {"patients": {}})
    untyped = read_sql("SELECT :a AS a", "plain.sql").require()
    with pytest.raises(SavedQueryError, match=":a has no type"):
        build_library(untyped, {})


def test_a_library_is_asked_like_a_file(published_cohort: World) -> None:
    library = built()
    library["relatedArtifact"][0]["resource"] = "patients"
    query = read(library)
    assert ask_query(published_cohort.serving, query, {"gender": "male"}).row_count == 2
    with pytest.raises(BadRequestError, match="by_gender has no parameter :gendr"):
        ask_query(published_cohort.serving, query, {"gendr": "male"})


def test_elements_decide_and_not_annotations_of_the_sql() -> None:
    library = built()
    library["name"] = "another"
    library["parameter"][0]["type"] = "string"
    query = read(library)
    assert (query.name, query.parameters[0].type) == ("another", "string")


def test_the_attachment_for_postgresql_is_preferred() -> None:
    library = built()
    other = {"contentType": "application/sql; dialect=postgresql", "data": encoded("SELECT :gender AS a")}
    library["content"] = [{"contentType": "application/sql;dialect=hive", "data": "x"}, *library["content"], other]
    assert read(library).sql == "SELECT :gender AS a"
    library["content"] = library["content"][:2]
    assert read(library).sql == SQL


def changed(path: list[str | int], value: Any) -> dict[str, Any]:
    library = copy.deepcopy(built())
    place: Any = library
    for part in path[:-1]:
        place = place[part]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return library


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["resourceType"], "Bundle", "q.json: $.resourceType: is not a Library"),
        (["name"], "a-b", "$.name: is not a name of a query"),
        (["status"], "final", "$.status: is missing or unknown"),
        (["status"], None, "$.status: is missing or unknown"),
        (["type"], None, "$.type: has not one code of"),
        (["type", "coding", 0, "code"], "logic-library", "$.type: has not one code of"),
        (["type", "coding", 0, "code"], "sql-view", "$.parameter: an SQLView declares :gender"),
        (["implicitRules"], "urn:x", "$.implicitRules: may change what the query means"),
        (["modifierExtension"], [{"url": "urn:x"}], "$.modifierExtension: may change"),
        (["content"], None, "$.content: has SQL neither for PostgreSQL nor without a dialect"),
        (["content", 0, "contentType"], "application/sql;dialect=spark-sql", "$.content: has SQL neither"),
        (["content", 0, "contentType"], "text/cql", "$.content[0].contentType: does not begin with application/sql"),
        (["content", 0, "data"], None, "$.content[0].data: is missing"),
        (["content", 0, "data"], "%", "$.content[0].data: is not UTF-8 in base64"),
        (
            ["content", 0, "data"],
            encoded("SELECT :gender"),
            "$.content[0].extension: sql-text is another text than data",
        ),
        (["parameter", 0, "use"], "out", "$.parameter[0].use: is not in"),
        (["parameter", 0, "max"], "*", "$.parameter[0].max: is not 1"),
        (["parameter", 0, "min"], 0, "$.parameter[0].min: is not 1"),
        (["parameter", 0, "type"], "Patient", "$.parameter[0]: :gender has the unknown type 'Patient'"),
        (["parameter", 0, "profile"], "urn:x", "$.parameter[0].profile: cannot be checked here"),
        (["parameter", 0, "modifierExtension"], [], "$.parameter[0].modifierExtension: may change"),
        (["parameter", 0, "name"], "gendr", "$.parameter: :gendr is declared and not used (did you mean :gender?)"),
        (["parameter"], None, "$.parameter: :gender is used and not declared"),
        (["parameter"], "x", "$.parameter: is not a list of objects"),
        (["relatedArtifact", 0, "type"], "citation", "$.relatedArtifact[0].type: is not depends-on"),
        (["relatedArtifact", 0, "label"], None, "$.relatedArtifact[0].label: is not a label"),
        (["relatedArtifact", 0, "resource"], None, "$.relatedArtifact[0].resource: is missing"),
        (["title"], 7, "$.title: is not text"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_place(path: list[str | int], value: Any, said: str) -> None:
    with pytest.raises(SavedQueryError) as raised:
        read(changed(path, value))
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "7", '{"resourceType": []}', "[" * 100_000])
def test_what_is_no_library_is_refused(text: str) -> None:
    with pytest.raises(SavedQueryError, match="is not"):
        read_library(text, "q.json").require()
