"""Rules and groups that keep everybody or nobody, repeat each other or exclude each other; needs no view."""

from collections import Counter
from collections.abc import Iterator

from lambda_pipeline.cohorts.definition import (
    AgeCriterion,
    Cohort,
    EventCriterion,
    Group,
    SexCriterion,
    slug,
)
from lambda_pipeline.cohorts.document import json_path
from lambda_pipeline.cohorts.sources import date_columns, person_column
from lambda_pipeline.errors import CohortFinding

Place = tuple[int | str, ...]

SEXES = frozenset({"male", "female", "other", "unknown"})
"""FHIR's administrative genders."""


def check_rules(cohort: Cohort) -> Iterator[CohortFinding]:
    """What can be said about rules without a view."""
    names = Counter(rule.name.strip().casefold() for rule in cohort.rules)
    for number, rule in enumerate(cohort.rules):
        if names[rule.name.strip().casefold()] > 1:
            path = json_path(("rules", number, "name"))
            yield CohortFinding("duplicate-rule-name", path, "another rule has this name")
        if not slug(rule.name):
            path = json_path(("rules", number, "name"))
            yield CohortFinding("rule-name", path, "it has no letter a to z and no digit", warning=True)
        yield from _check_group(rule, ("rules", number), cohort)
    yield from _check_all_rules(cohort)


def _check_group(group: Group, place: Place, cohort: Cohort) -> Iterator[CohortFinding]:
    path, size, n = json_path(place), len(group.members), group.n or 0
    if group.match == "AT_LEAST" and n > size:
        yield CohortFinding("too-many-of-group", path, f"at least {n} of {size} members can never hold")
    if group.match == "AT_LEAST" and n == 0:
        yield CohortFinding("always-true", path, "at least 0 members always hold")
    if group.match == "AT_MOST" and n >= size:
        yield CohortFinding("always-true", path, f"at most {n} of {size} members always hold")
    for number, member in enumerate(group.members):
        here = (*place, "members", number)
        if member in group.members[:number]:
            yield CohortFinding("repeated-member", json_path(here), "it stands twice in one group", warning=True)
        match member:
            case Group():
                yield from _check_group(member, here, cohort)
            case AgeCriterion():
                yield from _check_age(member, here)
            case SexCriterion():
                yield from _check_sex(member, here)
            case EventCriterion():
                yield from _check_occurrence(member, here, cohort)


def _check_age(criterion: AgeCriterion, place: Place) -> Iterator[CohortFinding]:
    low, high = criterion.age.at_least, criterion.age.at_most
    if low is not None and high is not None and low > high:
        yield CohortFinding("contradiction", json_path((*place, "age")), f"nobody is at least {low} and at most {high}")
    if not low and high is None:
        reason = "every age is at least 0: it keeps those with a birth date"
        yield CohortFinding("any-age", json_path((*place, "age")), reason, warning=True)


def _check_sex(criterion: SexCriterion, place: Place) -> Iterator[CohortFinding]:
    path = json_path((*place, "sex"))
    if len(set(criterion.sex)) < len(criterion.sex):
        yield CohortFinding("repeated-value", path, "a value stands twice", warning=True)
    if not SEXES.issuperset(criterion.sex):
        reason = f"FHIR's codes are {', '.join(sorted(SEXES))}"
        yield CohortFinding("unknown-sex", path, "a value is not a code of FHIR", reason, warning=True)
    elif set(criterion.sex) == SEXES:
        yield CohortFinding("any-sex", path, "all codes are in it: it keeps those with a sex", warning=True)


def _check_occurrence(criterion: EventCriterion, place: Place, cohort: Cohort) -> Iterator[CohortFinding]:
    if criterion.occurs.at_least == 0:
        yield CohortFinding("always-true", json_path((*place, "occurs")), "at least 0 rows always match")
    window, index = criterion.window, cohort.index
    if window is None:
        return
    path = json_path((*place, "window"))
    if window.after is not None and window.before is not None and window.after > window.before:
        yield CohortFinding("empty-window", path, "it ends before it begins", "after is the earlier end")
    if index is None or not _asks_as_index(criterion, cohort):
        return
    if index.event == "first" and window.before is not None and window.before < 0:
        yield CohortFinding("empty-window", path, "the index is the first such event: there is none before it")
    if index.event == "last" and window.after is not None and window.after > 0:
        yield CohortFinding("empty-window", path, "the index is the last such event: there is none after it")


def _asks_as_index(criterion: EventCriterion, cohort: Cohort) -> bool:
    """Whether every row that the criterion matches is an event that could be the index."""
    index = cohort.index
    return (
        index is not None
        and (criterion.view, person_column(criterion), date_columns(criterion))
        == (index.view, person_column(index), date_columns(index))
        and all(each in criterion.where for each in index.where)
    )


def _check_all_rules(cohort: Cohort) -> Iterator[CohortFinding]:
    """All rules must hold: what one asks for, no other may exclude."""
    asked: list[tuple[object, Place]] = []
    excluded: list[tuple[object, Place]] = []
    for number, rule in enumerate(cohort.rules):
        members = [(member, ("rules", number, "members", place)) for place, member in enumerate(rule.members)]
        if rule.match == "ALL" or (rule.match == "ANY" and len(members) == 1):
            asked += members
        elif rule.match == "NONE" or (rule.match == "AT_MOST" and rule.n == 0):
            excluded += members
    for member, place in excluded:
        if any(member == other for other, _ in asked):
            yield CohortFinding("contradicting-rules", json_path(place), "another rule asks for what this one excludes")
    yield from _check_ages(asked)
    sexes: set[str] | None = None
    for member, place in asked:
        if isinstance(member, SexCriterion):
            sexes = set(member.sex) if sexes is None else sexes & set(member.sex)
            if not sexes:
                yield CohortFinding("contradicting-rules", json_path(place), "no sex is in all rules")
                return


def _check_ages(asked: list[tuple[object, Place]]) -> Iterator[CohortFinding]:
    bounds: dict[str, tuple[int, int]] = {}
    for member, place in asked:
        if isinstance(member, AgeCriterion):
            low, high = bounds.get(member.age.at, (0, 10_000))
            youngest = member.age.at_least or 0
            oldest = 10_000 if member.age.at_most is None else member.age.at_most
            bounds[member.age.at] = max(low, youngest), min(high, oldest)
            if low <= high and youngest <= oldest and max(low, youngest) > min(high, oldest):
                yield CohortFinding("contradicting-rules", json_path(place), "no age is in all rules")
