"""A cohort definition as one SELECT over the views by their names, as the serving layer takes it.

    persons           one row for each person, with the first and last day of the birth
    <view>_dated      the rows of a view, with their person and the first and last day of their date
    candidates        persons with their index: several rows for a person who has several
    rule_1_<name>_c1  how many rows match a criterion, by candidate
    rule_1_<name>     the candidates that a rule keeps
    passed            each candidate with the rules that keep it, and how many of them in a row from the first
    counted           each person, with the best of the candidates

The rows of the result are counts, see `question.Part`. What a definition must be like is checked in `lint`. Values are
bound parameters; only names, whole numbers of the definition and days of ages stand in the text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from psycopg import sql

from lambda_pipeline.cohorts import templates
from lambda_pipeline.cohorts.code_sets import CodeSet
from lambda_pipeline.cohorts.comparisons import Parameters, compared
from lambda_pipeline.cohorts.days import day_number, days_of, first_day, last_day, years_between
from lambda_pipeline.cohorts.definition import (
    Age,
    AgeCriterion,
    Cohort,
    EventCriterion,
    Events,
    Group,
    Occurs,
    SexCriterion,
    slug,
)
from lambda_pipeline.cohorts.document import json_path
from lambda_pipeline.cohorts.matching import Matching
from lambda_pipeline.cohorts.question import Part, Question
from lambda_pipeline.cohorts.sources import Views, date_columns, person_column
from lambda_pipeline.views.view import Column

Place = tuple[int | str, ...]

_DATE = sql.SQL("v._date")
_NULL_NUMBER = sql.SQL("CAST(NULL AS integer)")
_OLDEST = 10_000


def compile_cohort(
    cohort: Cohort, views: Views, code_sets: Mapping[str, CodeSet], *, persons: bool = False
) -> Question:
    """Compile a definition that `lint` has nothing against.

    Args:
        cohort: the definition.
        views: the views as they are read, by name.
        code_sets: by name.
        persons: whether the result also has the ids of the persons found.

    Raises:
        BadRequestError: a comparison does not fit its column.
    """
    return _Compiler(cohort, views, code_sets).compile(persons=persons)


def breakdown_age_at(cohort: Cohort) -> str | None:
    """When the persons found have the age that they are counted by: `index`, a date, or None for no ages at all."""
    if cohort.breakdown.age_at is None:
        return "index" if cohort.index is not None else None
    return cohort.breakdown.age_at


@dataclass(slots=True)
class _Rule:
    """A rule while it is compiled."""

    name: str
    joins: list[sql.Composable] = field(default_factory=list)


@dataclass(slots=True)
class _Compiler:
    cohort: Cohort
    views: Views
    code_sets: Mapping[str, CodeSet]
    parameters: Parameters = field(default_factory=Parameters)
    tables: dict[str, sql.Composable] = field(default_factory=dict)
    sources: dict[tuple[str, ...], sql.Identifier] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    reports: list[sql.Composable] = field(default_factory=list)

    def compile(self, *, persons: bool) -> Question:
        names = self._add_persons()
        candidates = self._add_candidates(names)
        rules = [self._add_rule(number, candidates) for number in range(len(self.cohort.rules))]
        counted = self._add_counted(self._add_passed(rules, candidates))
        selects = [*self._counts(names, counted), *self.reports]
        if persons:
            selects.append(sql.SQL(templates.FIND_PERSONS).format(counted=counted, rules=self._all_rules))
        statement = sql.SQL("WITH {}\n{}").format(
            sql.SQL(",\n").join(self.tables.values()), sql.SQL("\nUNION ALL\n").join(selects)
        )
        return Question(statement, self.parameters.values, tuple(json_path(place) for place in self.places))

    @property
    def _all_rules(self) -> sql.Literal:
        return sql.Literal(len(self.cohort.rules))

    def _add(self, name: str, body: sql.Composable, *, materialized: bool = True) -> sql.Identifier:
        name = name[:60]
        while name in self.tables or name in self.views:
            name += "_"
        form = "{} AS MATERIALIZED (\n{})" if materialized else "{} AS NOT MATERIALIZED (\n{})"
        self.tables[name] = sql.SQL(form).format(sql.Identifier(name), body)
        return sql.Identifier(name)

    def _columns(self, view: str) -> dict[str, Column]:
        return {column.name: column for column in self.views[view].columns}

    def _add_persons(self) -> sql.Identifier:
        person = self.cohort.person
        column = self._columns(person.view)[person.birth_date]
        body = sql.SQL(templates.PERSONS).format(
            id=sql.Identifier(person.id),
            sex=sql.Identifier(person.sex),
            birth=sql.Identifier(person.birth_date),
            born_first=day_number(first_day(_DATE, column)),
            born_last=day_number(last_day(_DATE, column)),
            view=sql.Identifier(person.view),
        )
        return self._add("persons", body)

    def _source(self, events: Events) -> sql.Identifier:
        """The rows of a view with their person and days; made once for each view and choice of columns."""
        dates, person = date_columns(events), person_column(events)
        key = (events.view, person, *dates)
        if key not in self.sources:
            column = self._columns(events.view)[dates[0]] if dates else Column("", "date")
            body = sql.SQL(templates.SOURCE).format(
                person=sql.Identifier(person),
                date=_coalesce(dates),
                first=first_day(_DATE, column),
                last=last_day(_DATE, column),
                view=sql.Identifier(events.view),
            )
            self.sources[key] = self._add(f"{events.view}_dated", body, materialized=False)
        return self.sources[key]

    def _matching(self, events: Events) -> Matching:
        columns = self._columns(events.view)
        conditions = [compared(each, columns, self.code_sets, self.parameters) for each in events.where]
        if isinstance(events, EventCriterion):
            return Matching(conditions, events.window, events.occurs.distinct_days)
        return Matching(conditions)

    def _add_candidates(self, persons: sql.Identifier) -> sql.Identifier:
        index = self.cohort.index
        if index is None:
            return self._add("candidates", sql.SQL(templates.CANDIDATES_WITHOUT_INDEX).format(persons=persons))
        source, matching = self._source(index), self._matching(index)
        form = sql.SQL(templates.EVERY_EVENT if index.event == "every" else templates.ONE_EVENT)
        end = sql.SQL("max" if index.event == "last" else "min")
        events = self._add(
            "index_events", form.format(end=end, source=source, sure=matching.sure()), materialized=False
        )
        first, last = (day_number(sql.SQL(day)) for day in ("i._first", "i._last"))
        body = sql.SQL(templates.CANDIDATES).format(
            age_low=years_between(sql.SQL("p._born_last"), first),
            age_high=years_between(sql.SQL("p._born_first"), last),
            persons=persons,
            events=events,
        )
        undated = sql.SQL("{} AND v._first IS NULL AND v._person IN (SELECT p._person FROM {} AS p)").format(
            matching.sure(), persons
        )
        self._report(Part.UNDATED, source, undated)
        self._report_left_out(source, matching, persons, ("index",))
        return self._add("candidates", body)

    def _report(self, part: Part, source: sql.Identifier, condition: sql.Composable) -> None:
        self.reports.append(
            sql.SQL(templates.COUNT_ROWS).format(
                part=sql.Literal(part.value), place=sql.Literal(len(self.places)), source=source, condition=condition
            )
        )

    def _report_left_out(
        self, source: sql.Identifier, matching: Matching, candidates: sql.Identifier, place: Place
    ) -> None:
        if (other_unit := matching.other_unit(candidates)) is not None:
            self._report(Part.OTHER_UNIT, source, other_unit)
        if (undecided := matching.undecided(candidates)) is not None:
            self._report(Part.UNDECIDED, source, undecided)
        self.places.append(place)

    def _add_rule(self, number: int, candidates: sql.Identifier) -> sql.Identifier:
        rule = self.cohort.rules[number]
        building = _Rule(f"rule_{number + 1}_{slug(rule.name)}".rstrip("_"))
        holds = self._group(rule, ("rules", number), building, candidates)
        body = sql.SQL(templates.RULE).format(candidates=candidates, joins=sql.Composed(building.joins), holds=holds)
        return self._add(building.name, body)

    def _group(self, group: Group, place: Place, rule: _Rule, candidates: sql.Identifier) -> sql.Composable:
        members = [
            self._member(member, (*place, "members", number), rule, candidates)
            for number, member in enumerate(group.members)
        ]
        match group.match:
            case "ALL":
                return sql.SQL("({})").format(sql.SQL("\n     AND ").join(members))
            case "ANY":
                return sql.SQL("({})").format(sql.SQL("\n      OR ").join(members))
            case "NONE":
                return sql.SQL("NOT ({})").format(sql.SQL("\n          OR ").join(members))
        counted = sql.SQL("\n        + ").join(sql.SQL("CAST({} AS integer)").format(member) for member in members)
        form = "({} >= {})" if group.match == "AT_LEAST" else "({} <= {})"
        return sql.SQL(form).format(counted, sql.Literal(group.n))

    def _member(self, member: object, place: Place, rule: _Rule, candidates: sql.Identifier) -> sql.Composable:
        """A condition on the candidate `e` that is true or false, never NULL."""
        match member:
            case Group():
                return sql.SQL("({})").format(self._group(member, place, rule, candidates))
            case EventCriterion():
                return self._event(member, place, rule, candidates)
            case AgeCriterion():
                return self._age(member.age, place, candidates)
            case SexCriterion():
                bound = self.parameters.bind(list(member.sex), "text[]")
                return sql.SQL("coalesce(e._sex = ANY ({}), FALSE)").format(bound)
        raise AssertionError(type(member))

    def _event(
        self, criterion: EventCriterion, place: Place, rule: _Rule, candidates: sql.Identifier
    ) -> sql.Composable:
        source, matching = self._source(criterion), self._matching(criterion)
        body = sql.SQL(templates.CRITERION).format(
            counted=sql.SQL("DISTINCT v._first" if criterion.occurs.distinct_days else "*"),
            candidates=candidates,
            source=source,
            sure=matching.sure(),
        )
        alias = sql.Identifier(f"c{len(rule.joins) + 1}")
        table = self._add(f"{rule.name}_c{len(rule.joins) + 1}", body)
        rule.joins.append(sql.SQL(templates.JOIN).format(table=table, alias=alias))
        self._report_left_out(source, matching, candidates, place)
        return _enough(criterion.occurs, alias)

    def _age(self, age: Age, place: Place, candidates: sql.Identifier) -> sql.Composable:
        low, high = self._ages(age.at)
        youngest, oldest = sql.Literal(age.at_least or 0), sql.Literal(_OLDEST if age.at_most is None else age.at_most)
        form = "coalesce({} >= {} AND {} <= {}, {})"
        sure = sql.SQL(form).format(low, youngest, high, oldest, sql.SQL("FALSE"))
        possible = sql.SQL(form).format(high, youngest, low, oldest, sql.SQL("TRUE"))
        self.reports.append(
            sql.SQL(templates.COUNT_UNDECIDED_AGES).format(
                place=sql.Literal(len(self.places)), candidates=candidates, sure=sure, possible=possible
            )
        )
        self.places.append(place)
        return sure

    def _ages(self, at: str) -> tuple[sql.Composable, sql.Composable]:
        """SQL of the lowest and of the highest age that a candidate `e` may have."""
        if at == "index":
            return sql.SQL("e._age_low"), sql.SQL("e._age_high")
        first, last = (sql.Literal(int(f"{day:%Y%m%d}")) for day in days_of(at))
        return (
            years_between(sql.SQL("e._born_last"), first),
            years_between(sql.SQL("e._born_first"), last),
        )

    def _add_passed(self, rules: list[sql.Identifier], candidates: sql.Identifier) -> sql.Identifier:
        aliases = [sql.Identifier(f"r{number + 1}") for number in range(len(rules))]
        flags = [
            sql.SQL("{}._candidate IS NOT NULL AS {},\n         ").format(alias, _flag(number))
            for number, alias in enumerate(aliases)
        ]
        steps = [
            sql.SQL("WHEN {}._candidate IS NULL THEN {} ").format(alias, sql.Literal(number))
            for number, alias in enumerate(aliases)
        ]
        at = breakdown_age_at(self.cohort)
        low, high = (_NULL_NUMBER, _NULL_NUMBER) if at is None else self._ages(at)
        joins = [
            sql.SQL(templates.JOIN).format(table=rule, alias=alias) for rule, alias in zip(rules, aliases, strict=True)
        ]
        body = sql.SQL(templates.PASSED).format(
            low=low,
            high=high,
            flags=sql.Composed(flags),
            steps=sql.SQL("CASE {}ELSE {} END").format(sql.Composed(steps), self._all_rules)
            if rules
            else self._all_rules,
            candidates=candidates,
            joins=sql.Composed(joins),
        )
        return self._add("passed", body)

    def _add_counted(self, passed: sql.Identifier) -> sql.Identifier:
        flags = [
            sql.SQL("bool_or({0}) AS {0},\n         ").format(_flag(number)) for number in range(len(self.cohort.rules))
        ]
        body = sql.SQL(templates.COUNTED).format(flags=sql.Composed(flags), rules=self._all_rules, passed=passed)
        return self._add("counted", body)

    def _counts(self, persons: sql.Identifier, counted: sql.Identifier) -> Iterator[sql.Composable]:
        yield sql.SQL(templates.COUNT_PERSONS).format(persons=persons)
        yield sql.SQL(templates.COUNT_CANDIDATES).format(counted=counted)
        for number in range(len(self.cohort.rules)):
            yield sql.SQL(templates.COUNT_RULE).format(
                place=sql.Literal(number), step=sql.Literal(number + 1), flag=_flag(number), counted=counted
            )
        yield sql.SQL(templates.COUNT_CELLS).format(band=self._band(), counted=counted, rules=self._all_rules)

    def _band(self) -> sql.Composable:
        if breakdown_age_at(self.cohort) is None:
            return _NULL_NUMBER
        bounds = [0, *self.cohort.breakdown.age_bands, _OLDEST]
        parts = [
            sql.SQL("WHEN _age_low >= {} AND _age_high < {} THEN {} ").format(
                sql.Literal(low), sql.Literal(high), sql.Literal(number)
            )
            for number, (low, high) in enumerate(pairwise(bounds))
        ]
        return sql.SQL("CASE {}END").format(sql.Composed(parts))


def _coalesce(columns: tuple[str, ...]) -> sql.Composable:
    names = [sql.Identifier(name) for name in columns]
    if not names:
        return sql.SQL("CAST(NULL AS date)")
    return names[0] if len(names) == 1 else sql.SQL("coalesce({})").format(sql.SQL(", ").join(names))


def _flag(number: int) -> sql.Identifier:
    return sql.Identifier(f"_kept_{number + 1}")


def _enough(occurs: Occurs, alias: sql.Identifier) -> sql.Composable:
    for sign, count in ((">=", occurs.at_least), ("=", occurs.exactly), ("<=", occurs.at_most)):
        if count is not None:
            return sql.SQL("coalesce({}._n, 0) {} {}").format(alias, sql.SQL(sign), sql.Literal(count))
    raise AssertionError(occurs)
