"""Checks of a definition before it runs, each with a code and its place in the document.

Here: names, types, and how the parts go together. What the values of comparisons exclude is checked in `contradictions`
and what rules exclude of each other in `rule_checks`. A finding that is no warning stops the question.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

from lambda_pipeline.cohorts.code_sets import CodeSet, code_set_names, read_code_set
from lambda_pipeline.cohorts.comparisons import NUMBERS, Parameters, compared, mixed_up
from lambda_pipeline.cohorts.contradictions import find_contradictions
from lambda_pipeline.cohorts.days import is_date
from lambda_pipeline.cohorts.definition import (
    AgeCriterion,
    Between,
    Cohort,
    Compare,
    Comparison,
    EventCriterion,
    Events,
    Group,
    In,
    InCodeSet,
    Valued,
)
from lambda_pipeline.cohorts.document import json_path
from lambda_pipeline.cohorts.rule_checks import check_rules
from lambda_pipeline.cohorts.sources import Views, date_columns, person_column
from lambda_pipeline.errors import BadRequestError, CohortFinding, suggest
from lambda_pipeline.serving.column_types import TypeFamily, type_family
from lambda_pipeline.views.view import Column

Place = tuple[int | str, ...]


def lint_cohort(
    cohort: Cohort, views: Views, code_sets: Mapping[str, CodeSet], folder: Path | None = None
) -> list[CohortFinding]:
    """Everything there is to say about a definition; errors come first.

    Args:
        cohort: the definition.
        views: the views as they are read, by name.
        code_sets: those that could be read, see `read_code_sets`.
        folder: where code sets are, for suggestions.
    """
    found = [
        *_check_code_sets(cohort, code_sets, folder),
        *_check_person(cohort, views),
        *_check_index(cohort, views),
        *check_rules(cohort),
    ]
    for events, place in _all_events(cohort):
        found += _check_events(events, place, views, code_sets)
    for criterion, place in _criteria(cohort):
        found += _check_criterion(criterion, place, cohort)
    return sorted(found, key=lambda finding: finding.warning)


def read_code_sets(cohort: Cohort, folder: Path) -> dict[str, CodeSet]:
    """The code sets that a definition declares and that can be read; `lint_cohort` tells of the others."""
    found = {}
    for name in cohort.code_sets:
        try:
            found[name] = read_code_set(folder, name)
        except BadRequestError:
            continue
    return found


def views_of(cohort: Cohort) -> list[str]:
    """The views that a definition reads, each once."""
    return list(dict.fromkeys([cohort.person.view, *(events.view for events, _ in _all_events(cohort))]))


def _criteria(cohort: Cohort) -> Iterator[tuple[object, Place]]:
    """All criteria with their places, groups left out."""

    def inside(group: Group, place: Place) -> Iterator[tuple[object, Place]]:
        for number, member in enumerate(group.members):
            here = (*place, "members", number)
            if isinstance(member, Group):
                yield from inside(member, here)
            else:
                yield member, here

    for number, rule in enumerate(cohort.rules):
        yield from inside(rule, ("rules", number))


def _all_events(cohort: Cohort) -> Iterator[tuple[Events, Place]]:
    if cohort.index is not None:
        yield cohort.index, ("index",)
    for criterion, place in _criteria(cohort):
        if isinstance(criterion, EventCriterion):
            yield criterion, place


def _check_code_sets(cohort: Cohort, code_sets: Mapping[str, CodeSet], folder: Path | None) -> Iterator[CohortFinding]:
    used = {each.code_set for events, _ in _all_events(cohort) for each in events.where if isinstance(each, InCodeSet)}
    for name, pin in cohort.code_sets.items():
        path = json_path(("code_sets", name))
        if name not in used:
            yield CohortFinding("unused-code-set", path, "no criterion uses this code set", warning=True)
        known = code_sets.get(name)
        if known is None:
            yield CohortFinding("unknown-code-set", path, *_why_unreadable(folder, name))
        elif known.sha256 != pin:
            yield CohortFinding(
                "code-set-changed", path, f"its file has another SHA-256: {known.sha256}",
                "look at what changed, then state this one",
            )  # fmt: skip
        elif not known.codes:
            yield CohortFinding("empty-code-set", path, "it has no code, so it matches nothing")


def _why_unreadable(folder: Path | None, name: str) -> tuple[str, str]:
    if folder is None:
        return "it cannot be read", ""
    names = code_set_names(folder)
    if name not in names:
        close = suggest(name, names)
        return "there is no such file", f"did you mean {close}?" if close else f"code sets: {', '.join(names)}"
    try:
        read_code_set(folder, name)
    except BadRequestError as error:
        return error.message, error.hint
    return "it cannot be read", ""


def _check_person(cohort: Cohort, views: Views) -> Iterator[CohortFinding]:
    person = cohort.person
    place: Place = ("person",)
    columns = yield from _known_columns(person.view, place, views)
    if columns is None:
        return
    identifier = yield from _known(person.id, columns, (*place, "id"))
    birth = yield from _known(person.birth_date, columns, (*place, "birth_date"))
    sex = yield from _known(person.sex, columns, (*place, "sex"))
    yield from _must_be_text(identifier, (*place, "id"), "an id")
    yield from _must_be_text(sex, (*place, "sex"), "a sex")
    if birth is not None and not is_date(birth):
        yield CohortFinding("column-type", json_path((*place, "birth_date")), "the column holds no dates")


def _check_index(cohort: Cohort, views: Views) -> Iterator[CohortFinding]:
    index = cohort.index
    if index is None:
        if not cohort.rules:
            yield CohortFinding("everyone", "$", "without index and rules it counts all persons", warning=True)
        if cohort.breakdown.age_at == "index":
            yield CohortFinding("age-without-index", "$.breakdown.age_at", "there is no index", "state a date")
    elif index.view in views and not date_columns(index):
        yield CohortFinding("no-date", "$.index", "an index needs a date", "name the column with date")


def _check_events(
    events: Events, place: Place, views: Views, code_sets: Mapping[str, CodeSet]
) -> Iterator[CohortFinding]:
    columns = yield from _known_columns(events.view, (*place, "view"), views)
    if columns is None:
        return
    person = yield from _known(person_column(events), columns, (*place, "person"))
    yield from _must_be_text(person, (*place, "person"), "an id")
    types = set()
    for name in date_columns(events):
        column = yield from _known(name, columns, (*place, "date"))
        if column is not None:
            types.add(column.type)
            if not is_date(column):
                yield CohortFinding("column-type", json_path((*place, "date")), f"{name} holds no dates")
    if len(types) > 1:
        yield CohortFinding("column-type", json_path((*place, "date")), "the columns are of different types")
    usable = []
    for number, each in enumerate(events.where):
        here = (*place, "where", number)
        findings = list(_check_comparison(each, here, columns, code_sets))
        yield from findings
        if all(finding.warning for finding in findings):
            usable.append((each, here))
    yield from find_contradictions(usable, columns)


def _check_comparison(
    comparison: Comparison, place: Place, columns: Mapping[str, Column], code_sets: Mapping[str, CodeSet]
) -> Iterator[CohortFinding]:
    column = yield from _known(comparison.column, columns, (*place, "column"))
    complete = column is not None
    unit = comparison.unit if isinstance(comparison, Valued) else None
    if unit is not None:
        unit_column = yield from _known(unit.column, columns, (*place, "unit", "column"))
        complete = complete and unit_column is not None
    if isinstance(comparison, InCodeSet):
        usable = yield from _check_code_set_use(comparison, place, columns, code_sets)
        complete = complete and usable
    if column is None or not complete:
        return
    if isinstance(comparison, Compare | Between | In):
        values = [comparison.value] if isinstance(comparison, Compare) else list(comparison.value)
        if hint := next(filter(None, (mixed_up(value, column) for value in values)), ""):
            reason = f"column {column.name}: a text is compared with a number"
            yield CohortFinding("text-and-number", json_path((*place, "value")), reason, hint)
            return
        if isinstance(comparison, In) and len(set(map(repr, values))) < len(values):
            yield CohortFinding("repeated-value", json_path((*place, "value")), "a value stands twice", warning=True)
        yield from _check_measurement(comparison, place, column, columns)
    try:
        compared(comparison, columns, code_sets, Parameters())
    except BadRequestError as error:
        yield CohortFinding("comparison", json_path(place), error.message, error.hint)


def _check_code_set_use(
    comparison: InCodeSet, place: Place, columns: Mapping[str, Column], code_sets: Mapping[str, CodeSet]
) -> Generator[CohortFinding, None, bool]:
    """Yields findings, and returns whether the comparison can be compiled."""
    complete = True
    if comparison.system_column is not None:
        column = yield from _known(comparison.system_column, columns, (*place, "system_column"))
        complete = column is not None
        yield from _must_be_text(column, (*place, "system_column"), "a system")
    known = code_sets.get(comparison.code_set)
    if known is None:
        close = suggest(comparison.code_set, code_sets)
        hint = f"did you mean {close}?" if close else "declare it under code_sets, with its SHA-256"
        reason = "code_sets does not declare it, or it cannot be read"
        yield CohortFinding("undeclared-code-set", json_path((*place, "code_set")), reason, hint)
        return False
    if comparison.system is not None and comparison.system != known.system:
        reason = f"the codes of {known.name} are of another system, so none can match"
        yield CohortFinding("other-system", json_path((*place, "system")), reason, known.system)
    return complete


def _check_measurement(
    comparison: Compare | Between | In, place: Place, column: Column, columns: Mapping[str, Column]
) -> Iterator[CohortFinding]:
    """A number that is the value of a Quantity means nothing without its unit, and may be a limit."""
    if type_family(column.type) not in NUMBERS or not column.path.endswith(".value"):
        return
    of_quantity = {each.path: each.name for each in columns.values()}
    unit = of_quantity.get(column.path.removesuffix("value") + "code")
    if unit and comparison.unit is None:
        reason = f"numbers of different units are compared: {unit} has the unit"
        yield CohortFinding("no-unit", json_path(place), reason, "state unit: {column, code}", warning=True)


def _check_criterion(criterion: object, place: Place, cohort: Cohort) -> Iterator[CohortFinding]:
    if isinstance(criterion, AgeCriterion) and criterion.age.at == "index" and cohort.index is None:
        reason = "there is no index to have an age at"
        yield CohortFinding("age-without-index", json_path((*place, "age")), reason, "state at: a date")
    if not isinstance(criterion, EventCriterion):
        return
    if criterion.window is not None and cohort.index is None:
        yield CohortFinding(
            "window-without-index", json_path((*place, "window")), "there is no index to count days from"
        )
    if date_columns(criterion):
        return
    hint = "name the column with date"
    if criterion.window is not None:
        yield CohortFinding("no-date", json_path((*place, "window")), "a window needs a date", hint)
    if criterion.occurs.distinct_days:
        yield CohortFinding("no-date", json_path((*place, "occurs")), "distinct days need a date", hint)


def _known_columns(view: str, place: Place, views: Views) -> Generator[CohortFinding, None, dict[str, Column] | None]:
    """Yields a finding for an unknown view, and returns the view's columns by name."""
    if view in views:
        return {column.name: column for column in views[view].columns}
    close = suggest(view, views)
    hint = f"did you mean {close}?" if close else f"views: {', '.join(sorted(views))}"
    yield CohortFinding("unknown-view", json_path(place), f"there is no view {view}", hint)
    return None


def _known(name: str, columns: Mapping[str, Column], place: Place) -> Generator[CohortFinding, None, Column | None]:
    """Yields a finding for an unknown column, and returns the column."""
    if name in columns:
        return columns[name]
    close = suggest(name, columns)
    hint = f"did you mean {close}?" if close else f"columns: {', '.join(columns)}"
    yield CohortFinding("unknown-column", json_path(place), f"the view has no column {name}", hint)
    return None


def _must_be_text(column: Column | None, place: Place, what: str) -> Sequence[CohortFinding]:
    if column is None or type_family(column.type) is TypeFamily.TEXT:
        return []
    return [CohortFinding("column-type", json_path(place), f"{what} is text, and the column is {column.type}")]
