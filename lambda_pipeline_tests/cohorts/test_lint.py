"""Every check of a definition, provoked; each names its place."""

import hashlib
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.cohorts import lint
from lambda_pipeline.cohorts.document import parse_cohort, parse_text
from lambda_pipeline.errors import CohortDefinitionError, CohortFinding
from lambda_pipeline.settings import Settings
from lambda_pipeline.views import View, load_views
from lambda_pipeline_tests.support.servers import PROJECT

Json = dict[str, Any]
VIEWS: dict[str, View] = {view.name: view for view in load_views(Settings().view_definitions)}

GOOD = """
name: Good
code_sets: {diabetes: PIN}
index:
  event: first
  view: condition_simple
  where:
    - {column: snomed_code, operator: in_code_set, code_set: diabetes, system: urn:one}
rules:
  - name: Adults
    match: ALL
    members:
      - age: {at_least: 18}
      - sex: [male, female]
  - name: HbA1c
    match: AT_LEAST
    n: 1
    members:
      - view: observation_labs
        where:
          - {column: loinc_code, operator: eq, value: 4548-4}
          - {column: value_quantity, operator: gt, value: 6.5, unit: {column: value_unit_code, code: "%"}}
        window: {after: -30, before: 365}
        occurs: {at_least: 2, distinct_days: true}
      - view: procedure_history
  - name: Late
    match: NONE
    members:
      - view: condition_simple
        where: [{column: recorded_date, operator: lt, value: "1990"}]
"""
SET = "title: Diabetes\nsystem: urn:one\nversion: '1'\ncodes: [{code: '1'}]\n"
PERCENT = {"column": "value_unit_code", "code": "%"}
EMPTY_SET = SET.replace("[{code: '1'}]", "[]")
RULE_1, RULE_2, RULE_3 = "$.rules[0]", "$.rules[1]", "$.rules[2]"
LAB = f"{RULE_2}.members[0]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "diabetes.yaml").write_text(SET)
    (tmp_path / "nothing.yaml").write_text(EMPTY_SET)
    return tmp_path


def good() -> Json:
    document = parse_text(GOOD, name="good")
    assert isinstance(document, dict)
    document["code_sets"]["diabetes"] = pin(SET)
    return document


def pin(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def findings(document: Json, folder: Path) -> list[CohortFinding]:
    try:
        cohort = parse_cohort(document)
    except CohortDefinitionError as error:
        return list(error.findings)
    return lint.lint_cohort(cohort, VIEWS, lint.read_code_sets(cohort, folder), folder)


def change(path: str, value: Any) -> Callable[[Json], None]:
    """Set what `path` names, such as `rules.0.members.0.age`; None as the value of a last key removes it."""

    def apply(document: Json) -> None:
        place: Any = document
        *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parts:
            place = place[part]
        if value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value

    return apply


def both(*changes: Callable[[Json], None]) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        for each in changes:
            each(document)

    return apply


WHERE = "rules.1.members.0.where"
AGE = "rules.0.members.0.age"


def where(*comparisons: Json) -> Callable[[Json], None]:
    return change(WHERE, list(comparisons))


def compared(column: str, operator: str, value: Any, **more: Any) -> Json:
    return {"column": column, "operator": operator, "value": value, **more}


QUANTITY_ABOVE_5 = compared("value_quantity", "gt", 5)
NO_UNIT_COLUMN = compared("value_quantity", "gt", 1, unit={"column": "u", "code": "%"})
NO_STATUS = {"column": "status", "operator": "is_null"}
ERRORS: list[tuple[str, str, Callable[[Json], None]]] = [
    ("malformed", "$.rules[0].members[0].agge", change("rules.0.members.0", {"age": {"at_least": 1}, "agge": 1})),
    ("unknown-view", f"{LAB}.view", change("rules.1.members.0.view", "observation_lab")),
    ("unknown-view", "$.person", change("person", {"view": "patient_demographic"})),
    ("unknown-column", f"{LAB}.where[0].column", where(compared("loinc", "eq", "x"))),
    ("unknown-column", "$.person.sex", change("person", {"sex": "gendre"})),
    ("unknown-column", f"{LAB}.person", change("rules.1.members.0.person", "patient")),
    ("unknown-column", f"{LAB}.date", change("rules.1.members.0.date", "when")),
    ("unknown-column", f"{LAB}.where[0].unit.column", where(NO_UNIT_COLUMN)),
    ("column-type", "$.person.birth_date", change("person", {"birth_date": "family"})),
    ("column-type", f"{LAB}.date", change("rules.1.members.0.date", "loinc_code")),
    ("column-type", f"{LAB}.date", change("rules.1.members.0.date", ["effective_date_time", "issued"])),
    ("column-type", f"{LAB}.person", change("rules.1.members.0.person", "value_quantity")),
    ("text-and-number", f"{LAB}.where[0].value", where(compared("loinc_code", "eq", 4548))),
    ("text-and-number", f"{LAB}.where[0].value", where(compared("value_quantity", "gt", "7"))),
    ("comparison", f"{LAB}.where[0]", where(compared("effective_start", "ge", "31.01.1990"))),
    ("comparison", f"{LAB}.where[0]", where(compared("value_quantity", "contains", "7", case="ignore"))),
    ("comparison", f"{LAB}.where[0]", where(compared("effective_date_time", "ge", "2026-01-31T08:00:00Z"))),
    ("comparison", f"{LAB}.where[0]", where(compared("loinc_code", "eq", "x", unit=PERCENT))),
    ("contradiction", f"{LAB}.where[1]", where(QUANTITY_ABOVE_5, compared("value_quantity", "lt", 3))),
    ("contradiction", f"{LAB}.where[1]", where(QUANTITY_ABOVE_5, compared("value_quantity", "le", 5))),
    ("contradiction", f"{LAB}.where[1]", where(compared("status", "eq", "a"), compared("status", "in", ["b", "c"]))),
    ("contradiction", f"{LAB}.where[1]", where(compared("issued", "gt", "2020"), compared("issued", "le", "2020-12"))),
    ("contradiction", f"{LAB}.where[1]", where(NO_STATUS, compared("status", "eq", "x"))),
    ("contradiction", f"{LAB}.where[1]", where(
        compared("value_unit_code", "eq", "g"), compared("value_quantity", "gt", 1, unit=PERCENT),
    )),
    ("contradiction", f"{RULE_1}.members[0].age", change(AGE, {"at_least": 30, "at_most": 20})),
    ("empty-code-set", "$.code_sets.nothing", both(
        change("code_sets.nothing", pin(EMPTY_SET)), change("index.where.0.code_set", "nothing"),
    )),
    ("unknown-code-set", "$.code_sets.diabets", change("code_sets.diabets", "0" * 64)),
    ("undeclared-code-set", "$.index.where[0].code_set", change("index.where.0.code_set", "hypertension")),
    ("code-set-changed", "$.code_sets.diabetes", change("code_sets.diabetes", "0" * 64)),
    ("other-system", "$.index.where[0].system", change("index.where.0.system", "urn:two")),
    ("window-without-index", f"{LAB}.window", change("index", None)),
    ("age-without-index", f"{RULE_1}.members[0].age", change("index", None)),
    ("age-without-index", "$.breakdown.age_at", both(change("index", None), change("breakdown", {"age_at": "index"}))),
    ("no-date", "$.index", change("index.view", "patient_simple")),
    ("no-date", f"{LAB}.window", both(change("rules.1.members.0.view", "patient_simple"), change(WHERE, []))),
    ("empty-window", f"{LAB}.window", change("rules.1.members.0.window", {"after": 10, "before": 5})),
    ("empty-window", f"{RULE_3}.members[0].window", both(
        change("rules.2.members.0.where", [compared("snomed_code", "in_code_set", None)]),
        change("rules.2.members.0.where.0", {
            "column": "snomed_code", "operator": "in_code_set", "code_set": "diabetes", "system": "urn:one",
        }),
        change("rules.2.members.0.window", {"before": -1}),
    )),
    ("duplicate-rule-name", f"{RULE_2}.name", change("rules.1.name", "adults")),
    ("too-many-of-group", RULE_2, change("rules.1.n", 3)),
    ("always-true", RULE_2, change("rules.1.n", 0)),
    ("always-true", RULE_2, both(change("rules.1.match", "AT_MOST"), change("rules.1.n", 2))),
    ("always-true", f"{LAB}.occurs", change("rules.1.members.0.occurs", {"at_least": 0})),
    ("contradicting-rules", f"{RULE_3}.members[1]", change("rules.2.members.1", {"age": {"at_least": 18}})),
    ("contradicting-rules", f"{RULE_1}.members[2]", change("rules.0.members.2", {"age": {"at_most": 17}})),
    ("contradicting-rules", f"{RULE_1}.members[2]", change("rules.0.members.2", {"sex": ["other"]})),
]  # fmt: skip
WARNINGS: list[tuple[str, str, Callable[[Json], None]]] = [
    ("unused-code-set", "$.code_sets.nothing", change("code_sets.nothing", pin(SET))),
    ("no-unit", f"{LAB}.where[0]", where(compared("value_quantity", "gt", 7))),
    ("repeated-value", f"{LAB}.where[0].value", where(compared("loinc_code", "in", ["a", "a"]))),
    ("repeated-value", f"{RULE_1}.members[1].sex", change("rules.0.members.1.sex", ["male", "male"])),
    ("repeated-comparison", f"{LAB}.where[1]", where(*[compared("loinc_code", "eq", "a")] * 2)),
    ("repeated-member", f"{RULE_1}.members[2]", change("rules.0.members.2", {"age": {"at_least": 18}})),
    ("unknown-sex", f"{RULE_1}.members[1].sex", change("rules.0.members.1.sex", ["m"])),
    ("any-sex", f"{RULE_1}.members[1].sex", change("rules.0.members.1.sex", ["male", "female", "other", "unknown"])),
    ("any-age", f"{RULE_1}.members[0].age", change(AGE, {"at_least": 0})),
    ("rule-name", f"{RULE_1}.name", change("rules.0.name", "—")),
    ("everyone", "$", both(change("index", None), change("rules", []))),
]


def test_a_good_definition_has_no_findings(folder: Path) -> None:
    assert findings(good(), folder) == []


@pytest.mark.parametrize(("code", "path", "apply"), ERRORS, ids=[f"{code}-{path}" for code, path, _ in ERRORS])
def test_what_cannot_be_answered_stops_the_question(
    code: str, path: str, apply: Callable[[Json], None], folder: Path
) -> None:
    document = deepcopy(good())
    apply(document)
    found = {(finding.code, finding.path) for finding in findings(document, folder) if not finding.warning}
    assert (code, path) in found


@pytest.mark.parametrize(("code", "path", "apply"), WARNINGS, ids=[f"{code}-{path}" for code, path, _ in WARNINGS])
def test_what_is_doubtful_is_a_warning(code: str, path: str, apply: Callable[[Json], None], folder: Path) -> None:
    document = deepcopy(good())
    apply(document)
    assert (code, path) in {(finding.code, finding.path) for finding in findings(document, folder) if finding.warning}


def test_misspelt_names_get_suggestions(folder: Path) -> None:
    document = good()
    document["rules"][1]["members"][0]["where"][0]["column"] = "lionc_code"
    document["code_sets"]["diabets"] = "0" * 64
    hints = {finding.hint for finding in findings(document, folder) if not finding.warning}
    assert hints == {"did you mean loinc_code?", "did you mean diabetes?"}


def test_findings_hold_no_value_of_a_document(folder: Path) -> None:
    document = good()
    document["rules"][1]["members"][0]["where"] = [
        compared("loinc_code", "eq", 987654),
        compared("value_quantity", "gt", "SECRET"),
        compared("loinc_code", "SECRET", "SECRET"),
    ]
    text = "\n".join(map(str, findings(document, folder)))
    assert text
    assert "SECRET" not in text
    assert "987654" not in text


def test_the_page_lists_every_check_and_no_other() -> None:
    text = (PROJECT / "docs" / "cohorts.md").read_text().split("## Checks")[1]
    listed = set(re.findall(r"^\| `([a-z-]+)`", text, re.MULTILINE))
    assert listed == {code for code, _, _ in (*ERRORS, *WARNINGS)}
    sources = "".join(path.read_text() for path in (PROJECT / "lambda_pipeline" / "cohorts").glob("*.py"))
    assert listed == set(re.findall(r'CohortFinding\(\s*"([a-z-]+)"', sources))


def test_there_are_at_least_fifteen_checks() -> None:
    assert len({code for code, _, _ in (*ERRORS, *WARNINGS)}) >= 15
