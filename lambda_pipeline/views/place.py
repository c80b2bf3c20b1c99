"""Places: where a path leads, as an SQL expression that yields jsonb and a jsonpath below it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from lambda_pipeline.views import typed_tree
from lambda_pipeline.views.sql_text import json_string, quoted


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes:
        base: SQL expression that yields one jsonb value, or NULL.
        path: jsonpath below it, without the leading `$`.
        keys: the same path as keys and positions, if FHIR allows at most one element there; else None.
        ends_in_member: whether the last step is a member.
        is_column: whether `base` is a plain column, which is never NULL.
        is_cheap: whether naming `base` twice costs little.
    """

    base: str
    path: str = ""
    keys: tuple[str | int, ...] | None = ()
    ends_in_member: bool = False
    is_column: bool = False
    is_cheap: bool = False

    @classmethod
    def of_array(cls, array: str) -> "Place":
        """The place of the elements of a computed jsonb array."""
        return cls(array, path="[*]", keys=None)

    @property
    def operator(self) -> str:
        """The element by `->` operators; only where `keys` has something."""
        return self._operators("->")

    @property
    def text_operator(self) -> str:
        """The element as text by `->` and `->>`; only where `keys` has something."""
        return self._operators("->>")

    @property
    def jsonpath(self) -> str:
        """The jsonpath as an SQL literal; it yields elements, never a whole array."""
        return quoted(self.elements)

    @property
    def array(self) -> str:
        """The elements as a jsonb array; NULL if `base` is."""
        return f"jsonb_path_query_array({self.base}, {self.jsonpath})"

    @property
    def elements(self) -> str:
        """The jsonpath, not quoted."""
        return "$" + self.path + ("[*]" if self.ends_in_member else "")

    def member(self, key: str, *, repeats: bool) -> "Place":
        """One step further."""
        keys = None if repeats or self.keys is None else (*self.keys, key)
        return replace(self, path=f"{self.path}.{json_string(key)}", keys=keys, ends_in_member=True)

    def member_at(self, key: str, index: int) -> "Place":
        """One step further, to one element of a list."""
        keys = None if self.keys is None else (*self.keys, key, index)
        return replace(self, path=f"{self.path}.{json_string(key)}[{index}]", keys=keys, ends_in_member=False)

    def filter(self, criteria: str) -> "Place":
        """Only the elements for which a jsonpath predicate is true."""
        return replace(self, path=f"{self.path} ? ({criteria})", keys=None, ends_in_member=False)

    def _operators(self, last_operator: str) -> str:
        *inner, last = (quoted(key) if isinstance(key, str) else str(key) for key in self.keys or ("",))
        return "".join([self.base, *(f" -> {key}" for key in inner), f" {last_operator} {last}"])


def jsonpath_literal(constant: typed_tree.Constant) -> str:
    """A constant in the notation of JSON and jsonpath."""
    match constant.value:
        case bool():
            return "true" if constant.value else "false"
        case Decimal():
            return f"{constant.value:f}"
    return json_string(constant.value)
