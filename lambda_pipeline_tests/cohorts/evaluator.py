"""What a cohort definition means, said a second time: loops over the rows of the views, day by day.

It shares no code with the product: it reads the document itself, and every date as the list of days that it may be.
"""

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pandas as pd

Json = dict[str, Any]
Days = tuple[int, int]
"""First and last day, as ordinals."""


@dataclass
class Found:
    persons: set[str]
    attrition: list[tuple[int, int, int | None]]
    breakdown: Counter[tuple[str | None, str | None]]
    left_out: dict[tuple[str, str], int]


@lru_cache(maxsize=100_000)
def days(text: str) -> Days:
    parts = [int(part) for part in text[:10].split("-")]
    if len(parts) == 1:
        return date(parts[0], 1, 1).toordinal(), date(parts[0], 12, 31).toordinal()
    if len(parts) == 2:
        first = date(parts[0], parts[1], 1)
        return first.toordinal(), first.toordinal() + monthrange(*parts)[1] - 1
    return date(*parts).toordinal(), date(*parts).toordinal()


def days_of_value(value: Any) -> Days | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        day = value.astimezone(UTC).date().toordinal()
        return day, day
    return days(value)


def age(born: int, day: int) -> int:
    birth, at = date.fromordinal(born), date.fromordinal(day)
    years = at.year - birth.year
    return years - 1 if (at.month, at.day) < (birth.month, birth.day) else years


def ages(born: Days | None, at: Days) -> tuple[int, int] | None:
    return None if born is None else (age(born[1], at[0]), age(born[0], at[1]))


DATE_COLUMNS = {"born", "at", "issued", "onset", "recorded"}
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def holds_on(day: int, comparison: Json) -> bool:
    value = comparison["value"]
    spans = [days(each) for each in (value if isinstance(value, list) else [value])]
    first, last = spans[0]
    return {
        "eq": first <= day <= last,
        "in": any(low <= day <= high for low, high in spans),
        "ne": not first <= day <= last,
        "lt": day < first,
        "le": day <= last,
        "gt": day > last,
        "ge": day >= first,
        "between": first <= day <= spans[-1][1],
    }[comparison["operator"]]


@dataclass
class Evaluator:
    document: Json
    rows: dict[str, list[Json]]
    code_sets: dict[str, tuple[str, set[str]]]
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_person: dict[tuple[str, str], dict[str | None, list[Json]]] = field(default_factory=dict)

    def evaluate(self) -> Found:
        persons = [row for row in self.rows["people"] if row["pid"] is not None]
        entries = self.entries(persons)
        rules = self.document["rules"]
        kept: dict[str, list[list[bool]]] = {}
        for person, _ in entries:
            kept.setdefault(person["pid"], [])
        verdicts = [
            [self.group(rule, person, index, f"$.rules[{number}]") for number, rule in enumerate(rules)]
            for person, index in entries
        ]
        for (person, _), verdict in zip(entries, verdicts, strict=True):
            kept[person["pid"]].append(verdict)
        self.count_left_out(entries)
        attrition: list[tuple[int, int, int | None]] = [(len(persons), 0, None)]
        if "index" in self.document:
            attrition.append((len(kept), len(persons) - len(kept), None))
        for step in range(1, len(rules) + 1):
            remaining = sum(any(all(each[:step]) for each in several) for several in kept.values())
            alone = sum(not any(each[step - 1] for each in several) for several in kept.values())
            attrition.append((remaining, attrition[-1][0] - remaining, alone))
        found = {pid for pid, several in kept.items() if any(map(all, several))}
        passing = [entry for entry, verdict in zip(entries, verdicts, strict=True) if all(verdict)]
        left_out = {key: count for key, count in self.left_out.items() if count}
        return Found(found, attrition, self.breakdown(found, passing), left_out)

    def entries(self, persons: list[Json]) -> list[tuple[Json, Days | None]]:
        index = self.document.get("index")
        if index is None:
            return [(person, None) for person in persons]
        entries: list[tuple[Json, Days | None]] = []
        for person in persons:
            dates = []
            for row in self.rows_of(index, person):
                day = self.row_days(index, row)
                sure = all(self.compare(each, row)[0] for each in index["where"])
                if sure and day is None:
                    self.left_out["$.index", "undated-index"] += 1
                if sure and day is not None:
                    dates.append(day)
            if not dates:
                continue
            ends = list(zip(*dates, strict=True))
            if index["event"] == "every":
                entries += [(person, day) for day in sorted(set(dates))]
            else:
                choose = min if index["event"] == "first" else max
                entries.append((person, (choose(ends[0]), choose(ends[1]))))
        return entries

    def rows_of(self, events: Json, person: Json) -> list[Json]:
        key = (events["view"], events.get("person", "patient_id"))
        if key not in self.by_person:
            self.by_person[key] = {}
            for row in self.rows[key[0]]:
                self.by_person[key].setdefault(row[key[1]], []).append(row)
        return self.by_person[key].get(person["pid"], [])

    def row_days(self, events: Json, row: Json) -> Days | None:
        columns = events.get("date")
        columns = [columns] if isinstance(columns, str) else columns or []
        return days_of_value(next((row[name] for name in columns if row[name] is not None), None))

    def group(self, group: Json, person: Json, index: Days | None, path: str) -> bool:
        holding = sum(
            self.group(member, person, index, path) if "match" in member else self.criterion(member, person, index)
            for member in group["members"]
        )
        match group["match"]:
            case "ALL":
                return holding == len(group["members"])
            case "ANY":
                return holding > 0
            case "NONE":
                return holding == 0
            case "AT_LEAST":
                return holding >= group["n"]
        return holding <= int(group["n"])

    def criterion(self, criterion: Json, person: Json, index: Days | None) -> bool:
        if "sex" in criterion:
            return person["sex"] in criterion["sex"]
        if "age" in criterion:
            return self.age(criterion["age"], person, index)[0]
        matching = []
        for row in self.rows_of(criterion, person):
            sure, _, _ = self.row(criterion, row, index)
            if sure:
                matching.append(self.row_days(criterion, row))
        occurs = criterion.get("occurs", {"at_least": 1})
        count = len(set(matching)) if occurs.get("distinct_days") else len(matching)
        if "at_least" in occurs:
            return count >= occurs["at_least"]
        return count == occurs["exactly"] if "exactly" in occurs else count <= occurs["at_most"]

    def age(self, asked: Json, person: Json, index: Days | None) -> tuple[bool, bool]:
        at = index if asked.get("at", "index") == "index" else days(asked["at"])
        assert at is not None
        span = ages(days_of_value(person["born"]), at)
        if span is None:
            return False, True
        low, high = asked.get("at_least", 0), asked.get("at_most", 10**6)
        return low <= span[0] and span[1] <= high, low <= span[1] and span[0] <= high

    def row(self, criterion: Json, row: Json, index: Days | None) -> tuple[bool, bool, bool]:
        """Whether a row matches, whether it may match, and whether only its unit is another one."""
        verdicts = [self.compare(each, row) for each in criterion["where"]]
        sure, possible = all(each[0] for each in verdicts), all(each[1] for each in verdicts)
        others = [each[2] for each in verdicts]
        near = True
        day = self.row_days(criterion, row)
        if window := criterion.get("window"):
            assert index is not None
            if day is None:
                sure = False
            else:
                earliest, latest = day[0] - index[1], day[1] - index[0]
                low, high = window.get("after", -(10**9)), window.get("before", 10**9)
                sure = sure and low <= earliest and latest <= high
                near = latest >= low and earliest <= high
        if criterion.get("occurs", {}).get("distinct_days"):
            sure = sure and day is not None and day[0] == day[1]
        other_unit = any(others) and all(each[1] or each[2] for each in verdicts)
        return sure, possible and near, other_unit and near

    def compare(self, comparison: Json, row: Json) -> tuple[bool, bool, bool]:
        """Whether it holds for sure, may hold, and cannot be compared since the unit is another one."""
        value, operator = row[comparison["column"]], comparison["operator"]
        if operator in ("is_null", "is_not_null"):
            held = (value is None) == (operator == "is_null")
            return held, held, False
        if value is None:
            missing = comparison.get("or_missing", False)
            return missing, missing, False
        if comparison["column"] in DATE_COLUMNS:
            span = days_of_value(value)
            assert span is not None
            each = [holds_on(day, comparison) for day in range(span[0], span[1] + 1)]
            return all(each), any(each), False
        if (unit := comparison.get("unit")) and row[unit["column"]] != unit["code"]:
            return False, False, True
        held = self.plain(comparison, row, value)
        return held, held, False

    def plain(self, comparison: Json, row: Json, value: Any) -> bool:
        match comparison["operator"]:
            case "in":
                return value in comparison["value"]
            case "between":
                return bool(comparison["value"][0] <= value <= comparison["value"][1])
            case "contains" if isinstance(value, list):
                return comparison["value"] in value
            case "contains":
                return contains(value, comparison)
            case "in_code_set":
                system, codes = self.code_sets[comparison["code_set"]]
                right = "system_column" not in comparison or row[comparison["system_column"]] == system
                return value in codes and right
        return ORDERS[comparison["operator"]](value, comparison["value"])

    def count_left_out(self, entries: Sequence[tuple[Json, Days | None]]) -> None:
        by_person: dict[str, list[tuple[Json, Days | None]]] = {}
        for person, index in entries:
            by_person.setdefault(person["pid"], []).append((person, index))
        for criterion, path in criteria(self.document):
            if "sex" in criterion:
                continue
            if "age" in criterion:
                self.left_out[path, "undecided-age"] += sum(
                    any(self.age(criterion["age"], *entry) == (False, True) for entry in several)
                    for several in by_person.values()
                )
                continue
            for row in self.rows[criterion["view"]]:
                several = by_person.get(row[criterion.get("person", "patient_id")], [])
                seen = [self.row(criterion, row, index) for _, index in several]
                self.left_out[path, "undecided-date"] += any(may and not sure for sure, may, _ in seen)
                self.left_out[path, "other-unit"] += any(other for _, _, other in seen)
        if index := self.document.get("index"):
            known = {row["pid"] for row in self.rows["people"]}
            for row in self.rows[index["view"]]:
                if row[index.get("person", "patient_id")] in known:
                    sure, possible, other = self.row(index, row, None)
                    self.left_out["$.index", "undecided-date"] += possible and not sure
                    self.left_out["$.index", "other-unit"] += other

    def breakdown(
        self, found: set[str], passing: list[tuple[Json, Days | None]]
    ) -> Counter[tuple[str | None, str | None]]:
        breakdown = self.document["breakdown"]
        at = breakdown.get("age_at", "index" if "index" in self.document else None)
        bounds = [0, *breakdown["age_bands"]]
        names = [f"{low}-{high - 1}" for low, high in pairwise(bounds)] + [f"{bounds[-1]}+"]
        cells: Counter[tuple[str | None, str | None]] = Counter()
        for pid in found:
            own = [(person, index) for person, index in passing if person["pid"] == pid]
            person = own[0][0]
            if at is None:
                cells[person["sex"], None] += 1
                continue
            spans = [ages(days_of_value(person["born"]), index if at == "index" else days(at)) for _, index in own]  # type: ignore[arg-type]
            band = "unknown"
            if None not in spans:
                low, high = min(span[0] for span in spans), min(span[1] for span in spans)  # type: ignore[index]
                first, last = (sum(bound <= each for bound in bounds) - 1 for each in (low, high))
                if first == last >= 0:
                    band = names[first]
            cells[person["sex"], band] += 1
        return cells


def contains(value: str, comparison: Json) -> bool:
    part = comparison["value"]
    if comparison["case"] == "ignore":
        value, part = value.lower(), part.lower()
    if not comparison.get("whole_word"):
        return part in value
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(part)}(?![A-Za-z0-9_])", value) is not None


def criteria(document: Json) -> list[tuple[Json, str]]:
    found = []

    def visit(group: Json, path: str) -> None:
        for number, member in enumerate(group["members"]):
            here = f"{path}.members[{number}]"
            if "match" in member:
                visit(member, here)
            else:
                found.append((member, here))

    for number, rule in enumerate(document["rules"]):
        visit(rule, f"$.rules[{number}]")
    return found


def plain_rows(frame: pd.DataFrame) -> list[Json]:
    """The rows of an answer, with None for what is missing."""
    return [
        {str(name): None if _missing(value) else _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list) and bool(pd.isna(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value
