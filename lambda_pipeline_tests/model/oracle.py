"""The oracle: what HAPI holds after each commit, and what every view must contain then.

Plain Python over the requests that were sent. It shares no code with the compiler, the source reader or the demo
server, and it reads no table: a mistake in one of them cannot hide in here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from lambda_pipeline_tests.model import definitions

Key = tuple[str, str]
Row = tuple[Any, ...]
Rows = Counter[Row]
Body = Mapping[str, Any]

UNREADABLE: Body = {"resourceType": "nothing that can be read"}
"""Stands for a body that is not JSON, is not there, or is somewhere else."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the requests left it.

    Attributes:
        version: what HAPI says is current.
        deleted: whether that is a delete.
        sent: the body that an update is compared with to tell that it changes nothing; None when there is none.
        versions: the version rows; None for that of a delete.
        tags: kind and code.
    """

    version: int
    deleted: bool
    sent: Body | None
    versions: Mapping[int, Body | None]
    tags: frozenset[tuple[str, str]]

    def readable(self) -> tuple[int, Body] | None:
        """Version and body that HAPI would give: of the current version, or of the newest lower one that is there."""
        there = [version for version in self.versions if version <= self.version]
        if self.deleted or not there:
            return None
        body = self.versions[max(there)]
        return None if body is None or body is UNREADABLE else (max(there), body)

    def with_version(self, version: int, body: Body | None, *, history: bool, **changed: Any) -> "Resource":
        """After a new version; without history it takes the place of the newest row."""
        kept = dict(self.versions)
        if not history and kept:
            del kept[max(kept)]
        return replace(self, version=version, versions={**kept, version: body}, **changed)


State = Mapping[Key, Resource]


@dataclass(slots=True)
class Server:
    """What HAPI holds: the committed states in the order of their commits.

    Attributes:
        now: after the last commit.
        commits: the id of each transaction that changed something, with the state after it.
    """

    now: State = field(default_factory=dict)
    commits: list[tuple[int, State]] = field(default_factory=list)

    def commit(self, transaction: int | None, pending: Mapping[Key, Resource | None]) -> None:
        """A transaction became visible; a None among what it leaves is a resource that is gone without a trace."""
        if transaction is None:
            assert all(self.now.get(key) == resource for key, resource in pending.items()), "a change without a write"
            return
        left = {**self.now, **pending}
        self.now = {key: resource for key, resource in left.items() if resource is not None}
        self.commits.append((transaction, self.now))

    def seen_by(self, xmin: int, xmax: int, running: Iterable[int]) -> int:
        """How many commits a snapshot sees; they must be the first ones, since commits are seen in their order."""
        hidden = set(running)
        sees = [xid < xmin or (xid < xmax and xid not in hidden) for xid, _ in self.commits]
        count = sum(sees)
        assert all(sees[:count]), "a snapshot that sees a commit but not an earlier one"
        return count

    def after(self, commits: int) -> State:
        """The state after so many commits."""
        return self.commits[commits - 1][1] if commits else {}


class BadValueError(Exception):
    """A value that its column cannot hold: the resource has no rows in this view, and is reported."""


def people(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    if body.get("active") is not True:
        return []
    families = [name["family"] for name in body.get("name", ()) if "family" in name]
    return [(logical_id, _gender(body), body.get("birthDate"), families[0] if families else None)]


def everybody(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    return [(logical_id, _gender(body), body.get("active"))]


def given_names(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    return [(logical_id, given) for name in body.get("name", ()) for given in name.get("given", ())]


def names(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    found = [
        (logical_id, name.get("family"), given[0] if (given := name.get("given")) else None)
        for name in body.get("name", ())
    ]
    return found or [(logical_id, None, None)]


def diagnoses(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    status = [coding.get("code") for coding in body.get("verificationStatus", {}).get("coding", ())]
    if "entered-in-error" in status:
        return []
    codes = [coding["code"] for coding in body.get("code", {}).get("coding", ()) if "code" in coding]
    return [(logical_id, _patient(body), codes[0] if codes else None)]


def heights(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    return [(logical_id, _patient(body), _value(body), _tags(resource))]


def bare_heights(resource: Resource, logical_id: str, _: int, body: Body) -> list[Row]:
    return [(logical_id, _patient(body), _value(body))]


def versions(resource: Resource, logical_id: str, version: int, body: Body) -> list[Row]:
    return [(logical_id, str(version), _tags(resource))]


def _gender(body: Body) -> str | None:
    gender = body.get("gender")
    if gender is not None and not isinstance(gender, str):
        raise BadValueError
    return gender


def _patient(body: Body) -> str | None:
    kind, _, logical_id = str(body.get("subject", {}).get("reference", "")).partition("/")
    return logical_id if kind == "Patient" else None


def _value(body: Body) -> Decimal | None:
    value = body.get("valueQuantity", {}).get("value")
    try:
        return None if value is None else Decimal(value)
    except InvalidOperation:
        raise BadValueError from None


def _tags(resource: Resource) -> tuple[str, ...]:
    return tuple(sorted(code for kind, code in resource.tags if kind == "tag"))


Compute = Callable[[Resource, str, int, Body], Sequence[Row]]

VIEWS: tuple[tuple[definitions.Definition, Compute], ...] = (
    (definitions.PEOPLE, people),
    (definitions.EVERYBODY, everybody),
    (definitions.GIVEN_NAMES, given_names),
    (definitions.NAMES, names),
    (definitions.DIAGNOSES, diagnoses),
    (definitions.HEIGHTS, heights),
    (definitions.BARE_HEIGHTS, bare_heights),
    (definitions.VERSIONS, versions),
)


def rows_of(definition: definitions.Definition, state: State) -> tuple[Rows, set[str]]:
    """The rows of a view, and the resources it must report since they cannot be read."""
    (compute,) = (compute for known, compute in VIEWS if known is definition)
    rows: Rows = Counter()
    unreadable = set()
    for (kind, logical_id), resource in state.items():
        if kind != definition["resource"] or resource.deleted:
            continue
        readable = resource.readable()
        try:
            found = compute(resource, logical_id, *readable) if readable else ()
            rows.update(map(_plain, found))
        except BadValueError:
            readable = None
        if readable is None:
            unreadable.add(f"{kind}/{logical_id}")
    return rows, unreadable


def _plain(row: Row) -> Row:
    """As PostgreSQL can hold it: U+0000 becomes U+FFFD."""
    return tuple(value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value for value in row)


def cohort(rows: Mapping[str, Rows], columns: Mapping[str, Sequence[str]]) -> set[str]:
    """Men with diabetes who are 150 or taller: `definitions.COHORT` over rows of its three views."""

    def each(view: str) -> list[dict[str, Any]]:
        return [dict(zip(columns[view], row, strict=True)) for row in rows[view]]

    diabetics = {row["patient_id"] for row in each("diagnoses") if row["code"] == definitions.DIABETES}
    tall = {row["patient_id"] for row in each("heights") if row["value"] is not None and row["value"] >= 150}
    return {row["id"] for row in each("people") if row["gender"] == "male"} & diabetics & tall
