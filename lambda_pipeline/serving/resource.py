"""The point read: one resource by its reference, from the overlay where that holds it, else from HAPI's tables.

The order is that of every read (`read`): the overlay first, then one database snapshot. The envelope is the state at
the overlay's mark where the overlay has no gap and the generation does not cover the entry's poll; see
docs/guarantees.md, "The read order".
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from lambda_pipeline.batch.generation import published
from lambda_pipeline.database import Connection, Database
from lambda_pipeline.errors import (
    AmbiguousResourceError,
    BadRequestError,
    CoverageGapError,
    NoGenerationError,
    QuarantinedError,
    RedisUnavailableError,
    SourceError,
    StaleAnswerError,
)
from lambda_pipeline.serving.read import clock_note
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import (
    NO_PARTITION,
    HapiSource,
    HapiTables,
    ResourceKey,
    SnapshotMark,
    Unreadable,
    current_state,
    marked_snapshot,
    open_tables,
)
from lambda_pipeline.source.one_resource import keys_of_id, read_one
from lambda_pipeline.speed import coverage, point_reads
from lambda_pipeline.speed.entry import Envelope
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.point_reads import ResourceRead

_REFERENCE = re.compile(r"([A-Z][A-Za-z]{0,63})/([A-Za-z0-9.-]{1,64})(?:@(default|-?[0-9]{1,9}))?")

_ASK_CHANGES = "ask for each by its reference, or for the changes of a view"

Status = Literal["found", "deleted", "unknown"]
"""`deleted`: its current state is a delete; `unknown`: it never was there, or was expunged."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource at one moment.

    Attributes:
        reference: as in `Patient/123`, with `@` and the partition where it has one.
        status: see `Status`.
        version: the current version, also of a delete; None where it is unknown.
        last_updated: HAPI's timestamp of that version, in UTC; None where it is unknown.
        text: the resource as HAPI's REST interface gives it, as JSON; None unless it was found.
        source: `overlay` or `hapi`.
        valid_as_of: every change committed before this moment, in UTC, is in it.
        notes: what else a reader must know, in sentences.
    """

    reference: str
    status: Status
    version: int | None
    last_updated: datetime | None
    text: str | None = field(repr=False)
    source: Literal["overlay", "hapi"]
    valid_as_of: datetime
    notes: tuple[str, ...] = ()

    @property
    def content(self) -> dict[str, Any] | None:
        """The text as a dictionary, with decimals as `Decimal`; None unless it was found."""
        if self.text is None:
            return None
        content: dict[str, Any] = json.loads(self.text, parse_float=Decimal)
        return content


@dataclass(frozen=True, slots=True)
class _Reference:
    type: str
    id: str
    partition: int | None


def read_resource(database: Database, overlay: Overlay | None, settings: Settings, reference: str) -> Resource:
    """The current state of one resource.

    Args:
        database: HAPI's database.
        overlay: None when the speed layer is off.
        settings: HAPI's schema and zone, and how old the overlay may be.
        reference: as in `Patient/123`; `Patient/123@5` is that of partition 5, `Patient/123@default` that of none.

    Raises:
        BadRequestError: it is no such reference.
        AmbiguousResourceError: several partitions have this id, and the reference names none.
        QuarantinedError: it is there and cannot be read.
        SourceError: HAPI's tables cannot be read.
    """
    asked = _parse(reference)
    held, note = _read_overlay(overlay, asked)
    source = HapiSource.of(settings)
    with database.connect() as connection, marked_snapshot(connection, source=source) as mark:
        tables = open_tables(connection, source, {asked.type})
        key = _choose(keys_of_id(connection, tables, asked.type, asked.id), asked)
        if key is None:
            wanted = ResourceKey(_partition_of(asked), asked.type, asked.id)
            return Resource(_name(wanted), "unknown", None, None, None, "hapi", mark.taken_at, note)
        if held is not None and key.partition == _partition_of(asked):
            captured = _from_overlay(connection, held, key, mark, settings)
            if captured is not None:
                return captured
        return _from_source(connection, tables, key, mark, note)


def read_resources(
    database: Database, overlay: Overlay | None, settings: Settings, resource_type: str, since: datetime | None
) -> list[Resource]:
    """The resources of a type that the overlay captured, deleted ones included, by reference, as of its frontier.

    Args:
        database: HAPI's database.
        overlay: None when the speed layer is off.
        settings: how old the frontier may be.
        resource_type: one that a view reads.
        since: only those that polls captured which began after this moment; with a time zone. With `valid_as_of` of an
            earlier answer from the overlay these are all that changed since that answer. None: since the generation.

    Raises:
        BadRequestError: no moment with a time zone, or a type that the overlay does not capture.
        CoverageGapError: the overlay does not hold all of them.
        StaleAnswerError: the frontier is older than the freshness target.
        QuarantinedError: one of them cannot be read.
    """
    if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
        raise BadRequestError("since is no moment with a time zone")
    if overlay is None:
        raise CoverageGapError("the speed layer is off", hint=_ASK_CHANGES)
    read = point_reads.read_type(overlay, resource_type, since)
    with database.connect() as connection, marked_snapshot(connection) as mark:
        generation = published(connection)
        if generation is None:
            raise NoGenerationError("no generation has been published yet", hint="run lambda-pipeline refresh")
        gap = coverage.find_gap(read.state, read.lost, generation, now=mark)
        if gap or read.state is None:
            raise CoverageGapError(f"the overlay has a gap: {gap}", hint=_ASK_CHANGES)
    if resource_type not in read.state.types:
        raise BadRequestError(f"no view reads {resource_type[:64]}", hint=f"types: {', '.join(read.state.types)}")
    if since is not None and since < generation.mark.taken_at:
        raise CoverageGapError(
            f"the overlay begins at {generation.mark.taken_at.isoformat(timespec='milliseconds')}", hint=_ASK_CHANGES
        )
    frontier = read.state.mark.later(generation.mark)
    age_s, oldest = (mark.taken_at - frontier.taken_at).total_seconds(), settings.oldest_frontier_s
    if oldest is not None and age_s > oldest:
        raise StaleAnswerError(f"the frontier is {age_s:.0f} s old", hint="wait for the next poll")
    covered = coverage.covered_seq(read.state, read.polls, generation.mark)
    notes = clock_note(read.state, generation, settings)
    found = [_captured(key, envelope, frontier, notes) for key, seq, envelope in read.held if seq > covered]
    return sorted(found, key=lambda resource: resource.reference)


def _captured(key: ResourceKey, envelope: Envelope | None, frontier: SnapshotMark, notes: tuple[str, ...]) -> Resource:
    if envelope is None:
        raise CoverageGapError(f"Redis lost the point read of {key}", hint=_ASK_CHANGES)
    if envelope.body is None and not envelope.deleted:
        raise QuarantinedError(f"{key} cannot be read", hint="correct it in HAPI")
    status: Status = "deleted" if envelope.deleted else "found"
    return Resource(
        _name(key), status, envelope.version, envelope.last_updated, envelope.body, "overlay", frontier.taken_at, notes
    )


def _parse(reference: object) -> _Reference:
    matched = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if matched is None:
        raise BadRequestError(
            "this is no reference of a resource", hint="Patient/123, or Patient/123@5 with a partition"
        )
    resource_type, logical_id, partition = matched.groups()
    if partition is None:
        return _Reference(resource_type, logical_id, None)
    return _Reference(resource_type, logical_id, NO_PARTITION if partition == "default" else int(partition))


def _partition_of(asked: _Reference) -> int:
    return NO_PARTITION if asked.partition is None else asked.partition


def _read_overlay(overlay: Overlay | None, asked: _Reference) -> tuple[ResourceRead | None, tuple[str, ...]]:
    if overlay is None:
        return None, ()
    try:
        return point_reads.read_resource(overlay, ResourceKey(_partition_of(asked), asked.type, asked.id)), ()
    except RedisUnavailableError as error:
        return None, (f"the speed layer is down ({error.message})",)


def _choose(keys: list[ResourceKey], asked: _Reference) -> ResourceKey | None:
    if asked.partition is not None:
        return next((key for key in keys if key.partition == asked.partition), None)
    if len(keys) > 1:
        names = ", ".join(f"{_name(key)}{'@default' if key.partition == NO_PARTITION else ''}" for key in keys)
        raise AmbiguousResourceError(
            f"{asked.type}/{asked.id} is in {len(keys)} partitions", hint=f"name one of them: {names}"
        )
    return keys[0] if keys else None


def _from_overlay(
    connection: Connection, held: ResourceRead, key: ResourceKey, mark: SnapshotMark, settings: Settings
) -> Resource | None:
    """What the overlay holds; None where it holds nothing that may be used."""
    state, envelope, generation = held.state, held.envelope, published(connection)
    if state is None or envelope is None or held.seq is None or generation is None:
        return None
    if coverage.find_gap(state, held.lost, generation, now=mark):
        return None
    oldest = settings.oldest_frontier_s
    if oldest is not None and (mark.taken_at - state.mark.taken_at).total_seconds() > oldest:
        return None
    if held.seq <= coverage.covered_seq(state, held.polls, generation.mark):
        return None  # the generation may have seen a later state
    if envelope.body is None and not envelope.deleted:
        return None  # it cannot be read, and the source says why
    return _captured(key, envelope, state.mark, clock_note(state, generation, settings))


def _from_source(
    connection: Connection, tables: HapiTables, key: ResourceKey, mark: SnapshotMark, notes: tuple[str, ...]
) -> Resource:
    found = current_state(connection, tables, [key])
    if not found:
        raise SourceError(f"{key} cannot be found by its key")
    (change,) = found
    if change.deleted:
        return Resource(_name(key), "deleted", change.version, change.last_updated, None, "hapi", mark.taken_at, notes)
    body = read_one(connection, tables, change)
    if isinstance(body, Unreadable):
        raise QuarantinedError(f"{key} cannot be read: {body.reason}", hint="correct it in HAPI")
    return Resource(_name(key), "found", change.version, change.last_updated, body, "hapi", mark.taken_at, notes)


def _name(key: ResourceKey) -> str:
    return f"{key.type}/{key.id}" + ("" if key.partition == NO_PARTITION else f"@{key.partition}")
