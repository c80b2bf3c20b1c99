"""A cohort definition: persons, an index event, and inclusion rules in order; the model of one YAML or JSON document.

Here is only what a document may contain. Whether it makes sense over the views is checked in `lint`, what it means in
SQL stands in `compile`. The page of it is docs/cohorts.md.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
    model_validator,
)

from lambda_pipeline.serving.value_text import is_storable
from lambda_pipeline.views.primitives import primitive_problem

MAX_DAYS = 100_000
"""Days before and after the index that a window may reach; far beyond any life, and within PostgreSQL's calendar."""
MAX_YEARS = 150
MAX_RULES = 100
MAX_DEPTH = 6
"""Groups inside one another."""


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable() or not is_storable(text):
        raise ValueError("must be printable characters on one line")
    return text


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has a character that PostgreSQL's text cannot hold")
    return text


def _date(text: str) -> str:
    if problem := primitive_problem(text, "date"):
        raise ValueError(problem)
    return text


def _index_or_date(text: str) -> str:
    return text if text == "index" else _date(text)


Title = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Word = Annotated[StrictStr, Field(min_length=1, max_length=63), AfterValidator(_printable)]
Text = Annotated[StrictStr, Field(max_length=10_000), AfterValidator(_storable)]
Date = Annotated[StrictStr, AfterValidator(_date)]
Number = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=500), WithJsonSchema({"type": "number"})]
Scalar = StrictBool | StrictInt | Number | Text
Days = Annotated[StrictInt, Field(ge=-MAX_DAYS, le=MAX_DAYS)]
Years = Annotated[StrictInt, Field(ge=0, le=MAX_YEARS)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]


class Part(BaseModel):
    """Base of every part of a definition: unknown keys are errors, and errors repeat no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Unit(Part):
    """The unit in which a number is compared; a row of any other unit never matches."""

    column: Word = Field(description="The column with the unit's code.")
    code: Text = Field(min_length=1, description='The unit\'s code, such as "%" or mmol/L; compared byte by byte.')


class Valued(Part):
    """What comparisons with values share."""

    column: Word
    unit: Unit | None = None
    or_missing: StrictBool = Field(default=False, description="Also keep rows in which the column has no value.")

    @model_validator(mode="after")
    def _no_unit_of_nothing(self) -> Self:
        if self.unit is not None and self.or_missing:
            raise ValueError("takes unit or or_missing, not both")
        return self


class Compare(Valued):
    """One value compared with a column."""

    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    value: Scalar


class Between(Valued):
    """A column between two values, both included."""

    operator: Literal["between"]
    value: Annotated[tuple[Scalar, ...], Field(min_length=2, max_length=2)]


class In(Valued):
    """A column equal to one of several values."""

    operator: Literal["in"]
    value: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=10_000)]


class Missing(Part):
    """A column without a value, or with any."""

    column: Word
    operator: Literal["is_null", "is_not_null"]


class Contains(Part):
    """A text that holds another one, or a list that holds an element."""

    column: Word
    operator: Literal["contains"]
    value: Text = Field(min_length=1)
    case: Literal["sensitive", "ignore"] = Field(description="Whether upper and lower case differ.")
    whole_word: StrictBool = Field(default=False, description="No letter, digit or _ directly before or after it.")


class InCodeSet(Part):
    """A column whose code is in a code set of `code_sets`."""

    column: Word = Field(description="The column with the code.")
    operator: Literal["in_code_set"]
    code_set: Word = Field(description="The name of a code set that this document declares.")
    system_column: Word | None = Field(default=None, description="The column with the code's system.")
    system: Text | None = Field(
        default=None, description="The system of all codes of the column, where the view has no column for it."
    )

    @model_validator(mode="after")
    def _one_system(self) -> Self:
        if (self.system_column is None) == (self.system is None):
            raise ValueError("needs either system_column or system")
        return self


Comparison = Annotated[Compare | Between | In | Missing | Contains | InCodeSet, Field(discriminator="operator")]


class Events(Part):
    """Rows of a view, with the columns that say whose they are and when they were."""

    view: Word
    person: Word | None = Field(
        default=None, description="The column with the id of the person; shipped views have a default."
    )
    date: Word | Annotated[tuple[Word, ...], Field(min_length=1, max_length=5)] | None = Field(
        default=None,
        description="The column with the date, or several: the first that has a value. Shipped views have a default.",
    )
    where: tuple[Comparison, ...] = Field(default=(), max_length=50, description="All of these must hold.")


class Index(Events):
    """The event that a person enters with; windows and ages are relative to its date."""

    event: Literal["first", "last", "every"]


class Occurs(Part):
    """How many rows must match."""

    at_least: Count | None = None
    exactly: Count | None = None
    at_most: Count | None = None
    distinct_days: StrictBool = Field(default=False, description="Count days instead of rows.")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if sum(each is not None for each in (self.at_least, self.exactly, self.at_most)) != 1:
            raise ValueError("needs exactly one of at_least, exactly, at_most")
        return self


class Window(Part):
    """Days relative to the index, both ends included; a missing end is open."""

    after: Days | None = Field(default=None, description="The row's day is at least this many days after the index.")
    before: Days | None = Field(default=None, description="The row's day is at most this many days after the index.")

    @model_validator(mode="after")
    def _any_end(self) -> Self:
        if self.after is None and self.before is None:
            raise ValueError("needs after, before or both")
        return self


class EventCriterion(Events):
    """A number of rows of a view that belong to the person."""

    occurs: Occurs = Occurs(at_least=1)
    window: Window | None = None


class Age(Part):
    """An age in completed years, both ends included; a missing end is open."""

    at_least: Years | None = None
    at_most: Years | None = None
    at: Annotated[StrictStr, AfterValidator(_index_or_date)] = Field(
        default="index", description="index, or a date: YYYY, YYYY-MM or YYYY-MM-DD."
    )

    @model_validator(mode="after")
    def _any_end(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("needs at_least, at_most or both")
        return self


class AgeCriterion(Part):
    """The person's age."""

    age: Age


class SexCriterion(Part):
    """The person's sex."""

    sex: Annotated[tuple[Text, ...], Field(min_length=1, max_length=20)]


def _kind(member: Any) -> str | None:
    """Which kind of member a mapping is, by the key that only this kind has."""
    for key, kind in (("match", "a group"), ("view", "events"), ("age", "an age"), ("sex", "a sex")):
        if key in member if isinstance(member, Mapping) else hasattr(member, key):
            return kind
    return None


Member = Annotated[
    Annotated["Group", Tag("a group")]
    | Annotated[EventCriterion, Tag("events")]
    | Annotated[AgeCriterion, Tag("an age")]
    | Annotated[SexCriterion, Tag("a sex")],
    Discriminator(
        _kind,
        custom_error_type="member",
        custom_error_message="a member has match (a group), view, age or sex",
    ),
]


class Group(Part):
    """Criteria and groups, and how many of them must hold."""

    match: Literal["ALL", "ANY", "NONE", "AT_LEAST", "AT_MOST"] = Field(
        description="ALL, ANY or NONE of the members; AT_LEAST or AT_MOST n of them. An exclusion is NONE."
    )
    n: Count | None = Field(default=None, description="With AT_LEAST and AT_MOST only.")
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if (self.n is None) == self.match.startswith("AT_"):
            raise ValueError("AT_LEAST and AT_MOST need n, and nothing else takes it")
        return self


class Rule(Group):
    """One inclusion rule: a group with a name."""

    name: Title
    description: Text = ""


class Person(Part):
    """The view with one row for each person."""

    view: Word = "patient_demographics"
    id: Word = Field(default="patient_id", description="What person columns of other views refer to.")
    birth_date: Word = "birth_date"
    sex: Word = "gender"


class Breakdown(Part):
    """How the persons found are counted by age."""

    age_at: Annotated[StrictStr, AfterValidator(_index_or_date)] | None = Field(
        default=None,
        description="index, or a date; index by default. Without an index and a date there are no age bands.",
    )
    age_bands: Annotated[tuple[Annotated[Years, Field(ge=1)], ...], Field(max_length=30)] = Field(
        default=(18, 45, 65), description="The lowest age of each band but the first."
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.age_bands) != sorted(set(self.age_bands)):
            raise ValueError("age_bands must rise")
        return self


class Cohort(Part):
    """A cohort definition."""

    name: Title
    description: Text = ""
    person: Person = Person()
    index: Index | None = Field(default=None, description="Without it the persons enter as they are.")
    code_sets: Mapping[Word, Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default={},
        description="The code sets in use, each with the SHA-256 of its file (cohorts code-sets lists them).",
    )
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()
    breakdown: Breakdown = Breakdown()

    @model_validator(mode="after")
    def _not_too_deep(self) -> Self:
        if any(_depth(rule) > MAX_DEPTH for rule in self.rules):
            raise ValueError(f"groups are more than {MAX_DEPTH} deep")
        return self

    @property
    def sha256(self) -> str:
        """The identity of what it asks: 64 hex digits over all but name and descriptions."""
        content = self.model_dump(mode="json")
        text = json.dumps(_without_words(content), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def slug(text: str) -> str:
    """A name as the identifier of a query: letters a to z, digits and underscores, at most 40."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40].strip("_")


def _depth(group: Group) -> int:
    return 1 + max((_depth(member) for member in group.members if isinstance(member, Group)), default=0)


def _without_words(content: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in content.items() if key not in ("name", "description")}
    kept["rules"] = [
        {key: value for key, value in rule.items() if key not in ("name", "description")} for rule in content["rules"]
    ]
    return kept
