"""Random cohort definitions over the views of `people`, as documents."""

from decimal import Decimal
from random import Random
from typing import Any

from lambda_pipeline_tests.cohorts.people import CODES, SEXES, SYSTEMS, UNITS, WORDS, fhir_date

Json = dict[str, Any]
SET_OPERATORS = ("lt", "le", "gt", "ge", "eq", "ne")
NUMBERS = (0, 1, Decimal("1.5"), Decimal("2.50"), 3, Decimal("4.9"), 5, Decimal("6.5"))


def random_definition(rng: Random, pins: dict[str, str]) -> Json:
    """A definition; perhaps one that `lint` refuses."""
    has_index = rng.random() < 0.75
    document: Json = {"name": "random", "person": {"view": "people", "id": "pid", "birth_date": "born", "sex": "sex"}}
    if has_index:
        document["index"] = {"event": rng.choice(("first", "last", "every", "every")), **_events(rng, dated=True)}
    document["rules"] = [
        {"name": f"rule {number}", **_group(rng, has_index=has_index, depth=1)} for number in range(rng.randint(1, 4))
    ]
    breakdown: Json = {"age_bands": sorted(rng.sample(range(1, 25), rng.randint(0, 3)))}
    if rng.random() < 0.4:
        breakdown["age_at"] = fhir_date(rng, 1998, 2003, moments=False)
    document["breakdown"] = breakdown
    used = {name for name in pins if f"'{name}'" in repr(document)}
    return {**document, "code_sets": {name: pins[name] for name in used}}


def random_where(rng: Random, comparisons: int) -> Json:
    """A criterion with so many comparisons on one view."""
    criterion = _events(rng, dated=False)
    makers = {"people": _PEOPLE, "results": _RESULTS, "illnesses": _ILLNESSES}[criterion["view"]]
    one = rng.choice(makers)
    criterion["where"] = [(one if rng.random() < 0.6 else rng.choice(makers))(rng) for _ in range(comparisons)]
    return criterion


def _group(rng: Random, *, has_index: bool, depth: int) -> Json:
    members = [
        _group(rng, has_index=has_index, depth=depth + 1)
        if depth < 3 and rng.random() < 0.2
        else _criterion(rng, has_index=has_index)
        for _ in range(rng.choice((1, 1, 2, 2, 3)))
    ]
    match = rng.choice(("ALL", "ANY", "NONE", "AT_LEAST", "AT_MOST"))
    if match == "AT_LEAST":
        return {"match": match, "n": rng.randint(1, len(members)), "members": members}
    if match == "AT_MOST":
        return {"match": match, "n": rng.randint(0, len(members) - 1), "members": members}
    return {"match": match, "members": members}


def _criterion(rng: Random, *, has_index: bool) -> Json:
    kind = rng.random()
    if kind < 0.2:
        return {"age": _age(rng, has_index=has_index)}
    if kind < 0.32:
        return {"sex": rng.sample(SEXES, rng.randint(1, 2))}
    criterion = _events(rng, dated=False)
    count = rng.choice((1, 1, 1, 2, 3, 0))
    bound = rng.choice(("at_least", "at_least", "exactly", "at_most"))
    if bound == "at_least":
        count = max(count, 1)
    if rng.random() < 0.7:
        criterion["occurs"] = {bound: count}
        if criterion["view"] != "people" and rng.random() < 0.3:
            criterion["occurs"]["distinct_days"] = True
    if has_index and criterion["view"] != "people" and rng.random() < 0.6:
        criterion["window"] = _window(rng)
    return criterion


def _age(rng: Random, *, has_index: bool) -> Json:
    low = rng.randint(0, 22)
    age: Json = rng.choice(({"at_least": low}, {"at_most": low}, {"at_least": low, "at_most": low + rng.randint(0, 8)}))
    age = dict(age)
    if not has_index or rng.random() < 0.3:
        age["at"] = fhir_date(rng, 1990, 2003, moments=False)
    return age


def _window(rng: Random) -> Json:
    after = rng.choice((-1000, -365, -100, -30, -1, 0, 1, 30))
    before = after + rng.choice((0, 1, 60, 365, 700, 2000))
    return dict(rng.choice(({"after": after}, {"before": before}, {"after": after, "before": before})))


def _events(rng: Random, *, dated: bool) -> Json:
    view = rng.choice(("results", "illnesses") if dated else ("results", "results", "illnesses", "people"))
    if view == "people":
        return {"view": view, "person": "pid", "where": _where(rng, _PEOPLE)}
    if view == "results":
        return {"view": view, "date": rng.choice(("at", "at", "issued")), "where": _where(rng, _RESULTS)}
    date = rng.choice(("onset", "recorded", ["onset", "recorded"]))
    return {"view": view, "person": "whose", "date": date, "where": _where(rng, _ILLNESSES)}


def _where(rng: Random, makers: tuple[Any, ...]) -> list[Json]:
    comparisons = [rng.choice(makers)(rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    for each in comparisons:
        if each["operator"] in (*SET_OPERATORS, "between", "in") and "unit" not in each and rng.random() < 0.2:
            each["or_missing"] = True
    return comparisons


def _code(rng: Random) -> Json:
    if rng.random() < 0.4:
        which = rng.choice(({"system_column": "system"}, {"system": SYSTEMS[0]}))
        return {"column": "code", "operator": "in_code_set", "code_set": rng.choice(("pair", "tree")), **which}
    if rng.random() < 0.5:
        return {"column": "code", "operator": "in", "value": rng.sample(CODES, rng.randint(1, 3))}
    return {"column": "code", "operator": rng.choice(SET_OPERATORS), "value": rng.choice(CODES)}


def _amount(rng: Random) -> Json:
    unit = {"unit": {"column": "unit", "code": rng.choice(UNITS)}} if rng.random() < 0.6 else {}
    shape = rng.random()
    if shape < 0.2:
        low = rng.choice(NUMBERS)
        return {"column": "amount", "operator": "between", "value": [low, low + rng.choice((0, 1, 4))], **unit}
    if shape < 0.35:
        return {"column": "amount", "operator": "in", "value": list(rng.sample(NUMBERS, 3)), **unit}
    return {"column": "amount", "operator": rng.choice(SET_OPERATORS), "value": rng.choice(NUMBERS), **unit}


def _missing(*columns: str) -> Any:
    return lambda rng: {"column": rng.choice(columns), "operator": rng.choice(("is_null", "is_not_null"))}


def _date(*columns: str) -> Any:
    def make(rng: Random) -> Json:
        column, shape = rng.choice(columns), rng.random()
        dates = sorted(fhir_date(rng, 1979 if column == "born" else 1998, 2002, moments=False) for _ in range(3))
        if shape < 0.2:
            return {"column": column, "operator": "between", "value": [dates[0], dates[-1]]}
        if shape < 0.4:
            months = [f"{dates[0][:4]}-{month:02}" for month in range(1, 13)]
            return {"column": column, "operator": "in", "value": rng.choice((dates, months))}
        return {"column": column, "operator": rng.choice(SET_OPERATORS), "value": dates[0]}

    return make


def _note(rng: Random) -> Json:
    value = rng.choice((*filter(None, WORDS), "diab", "(known)", "2", "%", "_", "no"))
    return {
        "column": "note", "operator": "contains", "value": value, "case": rng.choice(("sensitive", "ignore")),
        "whole_word": rng.random() < 0.5,
    }  # fmt: skip


def _names(rng: Random) -> Json:
    return {"column": "names", "operator": "contains", "value": rng.choice(("Ann", "Bo", "an")), "case": "sensitive"}


def _boolean(rng: Random) -> Json:
    return {"column": "active", "operator": rng.choice(("eq", "ne")), "value": rng.random() < 0.5}


def _whole_number(rng: Random) -> Json:
    return {"column": "married", "operator": rng.choice(SET_OPERATORS), "value": rng.randint(1, 4)}


_PEOPLE = (_boolean, _whole_number, _names, _date("born"), _missing("active", "married", "sex", "names"))
_RESULTS = (_code, _code, _amount, _amount, _note, _date("at", "issued"), _missing("amount", "unit", "note", "at"))
_ILLNESSES = (_code, _code, _date("onset", "recorded"), _missing("code", "onset"))
