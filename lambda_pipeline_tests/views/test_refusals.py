"""What is not supported or not right is refused with its path, its position and a reason: nothing is guessed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.errors import ConfigurationError, Problem, ViewDefinitionError
from lambda_pipeline.settings import sql_directory
from lambda_pipeline.views import compile_view, find_warnings, lint, load_views

SCHEMA = (sql_directory() / "schema.sql").read_text()
BATCH_TABLES = re.findall(r"CREATE TABLE IF NOT EXISTS \w+\.(\w+)", SCHEMA)


def problems(definition: Any) -> list[Problem]:
    with pytest.raises(ViewDefinitionError) as raised:
        compile_view(definition)
    return list(raised.value.problems)


def column(path: str, resource: str = "Patient", **more: Any) -> dict[str, Any]:
    return {"resource": resource, "select": [{"column": [{"name": "x", "path": path, **more}]}]}


def select(**more: Any) -> dict[str, Any]:
    return {"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id"}], **more}]}


@pytest.mark.parametrize(
    ("path", "position", "reason", "hint"),
    [
        ("brithDate", 0, "Patient has no element 'brithDate' in R4 (4.0.1)", "did you mean birthDate?"),
        ("name.where(usee = 'official')", 11, "HumanName has no element 'usee'", "did you mean use?"),
        ("deceasedBoolean", 0, "no element 'deceasedBoolean'", "write deceased.ofType(boolean)"),
        ("deceased", 0, "several types (boolean, dateTime)", "write deceased.ofType(...)"),
        ("deceased.ofType(date)", 16, "deceased does not have the type date", "its types are boolean, dateTime"),
        ("deceased.ofType(Dat)", 16, "R4 (4.0.1) has no type Dat", "did you mean date?"),
        ("contained.name", 10, "not every resource has an element 'name'", "write ofType(...).name"),
        ("gender.code", 7, "a code has no element 'code'", ""),
        ("name.given.aggregate($this)", 11, "function aggregate() is not supported", ""),
        ("name.frist()", 5, "function frist() is not supported", "did you mean first?"),
        ("name.first(1)", 5, "first() takes 0 arguments", "a collection"),
        ("name | gender", 5, "| takes elements of one type", ""),
        ("gender in 1", 7, "in compares values of one type, not a code with an integer", ""),
        ("gender ~ 'male'", 7, "operator ~ is not supported", ""),
        ("gender & 1", 7, "& takes two strings, not a code and an integer", ""),
        ("multipleBirth is string", 17, "multipleBirth does not have the type string", "boolean, integer"),
        ("5 div 'a'", 2, "div takes two numbers", ""),
        ("4 days", 2, "unexpected 'days'", ""),
        ("birthDate > today()", 12, "today() is not supported: a view must be a function of its resource", ""),
        ("%nothing", 0, "constant %nothing is not defined", ""),
        ("name.where(family)", 11, "expected a boolean, but this is a string", "exists()"),
        ("gender = 1", 7, "not a code with an integer", ""),
        ("birthDate = '1970'", 10, "not a date with a string", "@2020-01-31"),
        ("@T10 = '10:30:00'", 5, "not a time with a string", "@T10:30:00"),
        ("active > true", 7, "> does not work on a boolean", ""),
        ("gender + 1", 7, "two numbers or two strings", ""),
        ("gender * 2", 7, "takes two numbers", ""),
        ("-gender", 0, "- takes a number", ""),
        ("name[gender]", 5, "an index must be a whole number", ""),
        ("name.given.join(1)", 16, "the separator of join() must be a string", ""),
        ("name.join()", 5, "join() takes strings", ""),
        ("extension(gender)", 10, "a url as a string", ""),
        ("name.ofType(Period)", 5, "never Period", ""),
        ("name.where(", 11, "found the end of the expression", ""),
        ("name..given", 5, "expected a name", ""),
        ("name given", 5, "unexpected 'given'", ""),
        ("'abc", 0, "unterminated string", ""),
        ("'a\\q'", 2, "is not an escape", ""),
        ("name.given #", 11, "is not FHIRPath", ""),
        ("@2020-1", 0, "not a supported literal", ""),
        ("$index", 0, "expected a name", ""),
        ("", 0, "found the end of the expression", ""),
        ("(" * 100 + "1" + ")" * 100, None, "the nesting is deeper than", ""),
    ],
)
def test_expression(path: str, position: int | None, reason: str, hint: str) -> None:
    (problem,) = problems(column(path))
    assert problem.path == "$.select[0].column[0].path"
    assert reason in problem.reason
    assert hint in problem.hint
    *_, quoted, caret = problem.reason.split("\n")
    assert quoted == f"    {path}"
    if position is not None:
        assert caret == " " * (4 + position) + "^"


def test_the_caret_is_in_the_line_that_is_wrong() -> None:
    (problem,) = problems(column("name\n  .where(usee = 'x')\n  .family"))
    assert problem.reason.split("\n")[1:] == ["      .where(usee = 'x')", "             ^"]


@pytest.mark.parametrize(
    ("definition", "path", "reason"),
    [
        ([], "$", "a JSON object"),
        ({"select": [{"column": [{"name": "x", "path": "id"}]}]}, "$", "resource is missing"),
        (column("id", resource="Patien"), "$.resource", "no resource type 'Patien'"),
        (column("id", resource="DomainResource"), "$.resource", "no resource type"),
        ({"resource": "Patient"}, "$", "select is missing"),
        ({"resource": "Patient", "select": []}, "$.select", "at least one select"),
        ({"resource": "Patient", "select": [{}]}, "$.select[0]", "needs column, select or unionAll"),
        ({**column("id"), "resourceType": "Patient"}, "$.resourceType", "is not ViewDefinition"),
        ({**column("id"), "fhirVersion": ["3.0.2"]}, "$.fhirVersion", "no version of FHIR that is supported"),
        ({**column("id"), "whre": []}, "$.whre", "not part of a ViewDefinition"),
        (select(forEech="name"), "$.select[0].forEech", "not part of a ViewDefinition"),
        (select(forEach="name", repeat=["contact"]), "$.select[0]", "exclude each other"),
        (select(forEach=1), "$.select[0].forEach", "expected a string"),
        (select(repeat="contact"), "$.select[0].repeat", "expected a JSON array"),
        (select(column="id"), "$.select[0].column", "expected a JSON array"),
        (select(repeat=["$this"]), "$.select[0].repeat[0]", "cannot be repeated"),
        (select(repeat=["contact.where(telecom.first().exists())"]), "$.select[0].repeat[0]", "cannot be repeated"),
        (select(repeat=["contct"]), "$.select[0].repeat[0]", "no element 'contct'"),
        (select(repeat=["name", "contact"]), "$.select[0].repeat", "several types"),
        (select(column=[{"name": "1x", "path": "id"}]), "$.select[0].column[0].name", "is not a name"),
        (select(column=[{"name": "x" * 64, "path": "id"}]), "$.select[0].column[0].name", "longer than 63"),
        *((select(column=[{"name": name, "path": "id"}]), "$.select[0].column[0].name", "every table of PostgreSQL has")
          for name in ("xmin", "xmax", "cmin", "cmax", "ctid", "tableoid", "XMIN")),
        (select(column=[{"name": f"x{n}", "path": "active"} for n in range(1598)]), "$.select", "can hold 1,597"),
        (select(column=[{"name": f"x{n}", "path": "id"} for n in range(400)]), "$.select", "400 columns can take"),
        (column("99999999999"), "$.select[0].column[0].path", "99999999999 is too large for a whole number of 32 bits"),
        (column("-2147483649"), "$.select[0].column[0].path", "too large"),
        (select(column=[{"name": "x"}]), "$.select[0].column[0]", "path is missing"),
        (select(column=[{"name": "x", "path": 5}]), "$.select[0].column[0].path", "expected a string"),
        (select(column=[{"name": "x", "path": "id"}] * 2), "$.select", "2 columns are named x"),
        (column("id", collection="yes"), "$.select[0].column[0].collection", "true or false"),
        (column("id", tag=[{"name": "lambda_pipeline/index", "value": "yes"}]), "$.select[0].column[0].tag[0].value",
         "true or false"),
        ({**column("id"), "where": [{"path": "gender"}]}, "$.where[0].path", "expected a boolean"),
        ({**column("id"), "constant": [{"name": "c"}]}, "$.constant[0]", "exactly one value[x]"),
        ({**column("id"), "constant": [{"name": "c", "valueString": "a", "valueCode": "b"}]}, "$.constant[0]", "has 2"),
        ({**column("id"), "constant": [{"name": "rowIndex", "valueInteger": 1}]}, "$.constant[0].name", "variable"),
        ({**column("id"), "constant": [{"name": "c", "valueInteger": 2**31}]}, "$.constant[0].valueInteger", "integer"),
        ({**column("id"), "constant": [{"name": "c", "valueDate": "2021-02-29"}]}, "$.constant[0].valueDate", "date"),
        ({**column("id"), "constant": [{"name": "c", "valueId": "a b"}]}, "$.constant[0].valueId", "value of type id"),
        ({**column("id"), "constant": [{"name": "c", "valueString": "a\0b"}]}, "$.constant[0].valueString", "U+0000"),
        (column("'{{relation}}'"), "$", "is reserved"),
    ],
)  # fmt: skip
def test_definition(definition: Any, path: str, reason: str) -> None:
    found = problems(definition)
    assert [problem.path for problem in found] == [path]
    assert reason in found[0].reason


def test_every_problem_is_reported_at_once() -> None:
    definition = {
        "resource": "Patient",
        "whre": [],
        "select": [{"column": [{"name": "1a", "path": "id"}, {"name": "b", "path": "brithDate"}], "forEech": "name"},
                   {"forEach": "nam", "column": [{"name": "c", "path": "gender.x"}]}],
        "where": [{"path": "gender"}, {"path": "active ="}],
    }  # fmt: skip
    assert {problem.path for problem in problems(definition)} >= {
        "$.whre", "$.select[0].forEech", "$.select[0].column[0].name", "$.select[0].column[1].path",
        "$.select[1].forEach", "$.where[0].path", "$.where[1].path",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ('{"resource": "Patient",}', "line 1 column", "is not JSON"),
        ('{"resource": "Patient", "resource": "Patient", "name": "v", "select": []}', "$", "occurs twice"),
        ("[1]", "$", "a JSON object"),
        ('{"resource": "Patient", "select": [{"column": [{"name": "x", "path": "id"}]}]}', "$", "name is missing"),
        ("[" * 100_000, "$", "nested too deeply"),
    ],
)
def test_lint_names_file_and_place(text: str, path: str, reason: str) -> None:
    first = lint(text, "view.json")[0]
    assert first.file == "view.json"
    assert first.path.startswith(path)
    assert reason in first.reason


def test_a_constant_is_defined_once() -> None:
    constants = [{"name": "a", "valueCode": "x"}, {"name": "a", "valueString": "y"}]
    (problem,) = problems({**column("gender = %a"), "constant": constants})
    assert (problem.path, problem.reason) == ("$.constant", "%a is defined twice")


def test_problems_of_where_come_last() -> None:
    found = problems({**column("brithDate"), "where": [{"path": "gender"}]})
    assert [problem.path for problem in found] == ["$.select[0].column[0].path", "$.where[0].path"]


def test_lint_finds_what_is_wrong_with_the_name_and_with_expressions_at_once() -> None:
    found = lint(json.dumps({**column("brithDate"), "name": "quarantine"}), "view.json")
    assert [problem.path for problem in found] == ["$.name", "$.select[0].column[0].path"]


@pytest.mark.parametrize("resource", [None, "Patiënt"])
def test_expressions_are_parsed_even_if_the_resource_type_is_not_known(resource: str | None) -> None:
    found = problems({**column("name."), "where": [{"path": "brithDate"}], "resource": resource})
    assert [problem.path for problem in found] == ["$.resource", "$.select[0].column[0].path"]


def test_lint_has_nothing_to_say_of_a_good_file() -> None:
    assert lint(json.dumps({**column("id"), "name": "v"}), "view.json") == []


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({"path": "name.family"}, True),
        ({"path": "contact.organization.getReferenceKey()"}, True),
        ({"path": "name.family", "collection": True}, False),
        ({"path": "name.family.first()"}, False),
        ({"path": "name[0].family"}, False),
        ({"path": "maritalStatus.text"}, False),
        ({"path": "name.exists()"}, False),
    ],
)
def test_a_path_that_can_give_several_values_is_a_warning(more: dict[str, Any], warned: bool) -> None:
    text = json.dumps({**select(column=[{"name": "x", **more}]), "name": "v"})
    assert lint(text, "view.json") == []
    assert [warning.path for warning in find_warnings(text, "view.json")] == ["$.select[0].column[0].path"] * warned


def test_inside_an_iteration_the_element_is_one() -> None:
    inner = [{"name": "x", "path": "family"}]
    assert find_warnings(json.dumps({**select(forEach="name", column=inner), "name": "v"}), "view.json") == []


def test_the_shipped_views_have_no_warnings() -> None:
    for file in (sql_directory() / "view_definitions").glob("*.json"):
        assert find_warnings(file.read_text(), file.name) == []


def test_elements_of_the_current_build_are_accepted() -> None:
    more = {"resourceDefinition": "http://hl7.org/fhir/StructureDefinition/ViewDefinition|3.0.0-ballot", "profile": []}
    assert compile_view({**column("id"), **more}).digest == compile_view(column("id")).digest


def test_a_folder_reports_all_files_and_double_names(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**column("id"), "name": "same"}))
    (tmp_path / "b.json").write_text(json.dumps({**column("id"), "name": "Same"}))
    (tmp_path / "c.json").write_text(json.dumps({**column("brithDate"), "name": "c"}))
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(ViewDefinitionError) as raised:
        load_views(tmp_path)
    assert [problem.file for problem in raised.value.problems] == ["a.json", "b.json", "c.json", "d.json"]
    assert raised.value.problems[0].reason == "b.json has a view of this name too"
    assert raised.value.problems[1].reason == "a.json has a view of this name too"


def test_a_folder_that_is_not_there_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    assert load_views(tmp_path) == ()
    with pytest.raises(ConfigurationError, match="nowhere is not a folder"):
        load_views(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", [*BATCH_TABLES, *(f"{table}_pkey" for table in BATCH_TABLES), "Quarantine", "labs__7", "labs__7__id_idx"]
)
def test_names_of_the_batch_layer_are_taken(name: str) -> None:
    (problem,) = lint(json.dumps({**column("id"), "name": name}), "view.json")
    assert problem.path == "$.name"


def test_the_batch_layer_has_tables() -> None:
    assert {"generation", "quarantine", "resource_key"} <= set(BATCH_TABLES)


def test_a_long_list_of_codes_compiles() -> None:
    codes = " or ".join(f"code = '{number}'" for number in range(1000))
    assert compile_view(column(f"code.coding.where({codes}).exists()", resource="Condition"))


def test_a_definition_nested_without_end_is_refused() -> None:
    nested: dict[str, Any] = {"column": [{"name": "x", "path": "id"}]}
    for _ in range(3000):
        nested = {"select": [nested]}
    (problem,) = problems({"resource": "Patient", "select": [nested]})
    assert "nested too deeply" in problem.reason
