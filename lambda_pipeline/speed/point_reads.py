"""Point reads: what polls captured of single resources, under keys that other programs read too.

They are a cache of the last capture and no part of the merge: docs/guarantees.md, "Not promised".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline.source import NO_PARTITION, ResourceKey, SnapshotMark
from lambda_pipeline.speed.entry import Envelope, key_of, member
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.redis_errors import damaged, redis_errors
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.speed.stored_state import find_loss, parse_polls, parse_state

_READ_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ResourceRead:
    """One atomic read of the overlay for one resource.

    Attributes:
        state: None when there is none.
        lost: what Redis lost of the resource's type, in words; empty when everything is there.
        polls: sequence number and mark of every poll that has entries, in order.
        seq: sequence number of the poll that captured the resource; None where there is no entry.
        envelope: its point read, as that poll wrote it; None where there is none.
    """

    state: OverlayState | None
    lost: str
    polls: Sequence[tuple[int, SnapshotMark]]
    seq: int | None
    envelope: Envelope | None


@dataclass(frozen=True, slots=True)
class TypeRead:
    """The entries of one type that polls after a moment captured, all of one revision.

    Attributes:
        state: None when there is none.
        lost: what Redis lost of the type, in words; empty when everything is there.
        polls: sequence number and mark of every poll that has entries, in order.
        held: resource, sequence number of the poll that captured it, and its point read where that is there.
    """

    state: OverlayState | None
    lost: str
    polls: Sequence[tuple[int, SnapshotMark]]
    held: Sequence[tuple[ResourceKey, int, Envelope | None]]


def read_resource(overlay: Overlay, key: ResourceKey) -> ResourceRead:
    """State, polls and the point read of one resource in one MULTI.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with redis_errors(), overlay.client.pipeline(transaction=True) as pipeline:
        pipeline.info("server")
        pipeline.hgetall(overlay.prefix + "state")
        pipeline.zrange(overlay.prefix + "polls", 0, -1)
        pipeline.zcard(f"{overlay.prefix}order:{key.type}")
        pipeline.zscore(f"{overlay.prefix}order:{key.type}", member(key))
        pipeline.get(_envelope_key(key))
        server, fields, polls, length, score, text = pipeline.execute()
    state = parse_state(fields)
    if state is None:
        return ResourceRead(None, "there is no overlay in Redis", (), None, None)
    lost = find_loss(state, server["run_id"], [(key.type, length)], len(polls))
    seq = None if score is None else int(score)
    return ResourceRead(state, lost, parse_polls(polls), seq, _own(overlay, text, seq))


def read_type(overlay: Overlay, resource_type: str, since: datetime | None) -> TypeRead:
    """State, polls, and the point reads of a type that polls which began after this moment captured, or all.

    Only keys of these resources are read: `order` sorts the resources of a type by poll.

    Raises:
        RedisUnavailableError: Redis cannot be read, or polls kept changing the overlay meanwhile.
    """
    order = f"{overlay.prefix}order:{resource_type}"
    with redis_errors():
        for _ in range(_READ_ATTEMPTS):
            with overlay.client.pipeline(transaction=True) as pipeline:
                pipeline.info("server")
                pipeline.hgetall(overlay.prefix + "state")
                pipeline.zrange(overlay.prefix + "polls", 0, -1)
                pipeline.zcard(order)
                server, fields, members, length = pipeline.execute()
            state, polls = parse_state(fields), parse_polls(members)
            if state is None:
                return TypeRead(None, "there is no overlay in Redis", (), ())
            later = (seq for seq, mark in polls if since is None or mark.taken_at > since)
            first = min(later, default=state.seq + 1)
            captured = overlay.client.zrangebyscore(order, first, "+inf", withscores=True)
            found = [(key_of(resource_type, name), int(seq)) for name, seq in cast("list[Any]", captured)]
            with overlay.client.pipeline(transaction=True) as pipeline:
                pipeline.hget(overlay.prefix + "state", "revision")
                for key, _ in found:
                    pipeline.get(_envelope_key(key))
                revision, *texts = pipeline.execute()
            if revision == fields["revision"]:
                lost = find_loss(state, server["run_id"], [(resource_type, length)], len(polls))
                held = [(key, seq, _own(overlay, text, seq)) for (key, seq), text in zip(found, texts, strict=True)]
                return TypeRead(state, lost, polls, held)
    raise RedisUnavailableError("polls kept changing the overlay while it was read", hint="ask again")


def _own(overlay: Overlay, text: str | None, seq: int | None) -> Envelope | None:
    """The point read that this overlay's poll wrote; the key is that of every pipeline in this Redis."""
    envelope = Envelope.parse(text) if text and seq is not None else None
    return envelope if envelope is not None and envelope.captured_by == f"{overlay.prefix}{seq}" else None


def point_read(
    overlay: Overlay, resource_type: str, logical_id: str, partition: int = NO_PARTITION
) -> dict[str, Any] | None:
    """One captured resource; None when it has not changed since the published generation."""
    with redis_errors():
        text = overlay.client.get(_envelope_key(ResourceKey(partition, resource_type, logical_id)))
    try:
        found = json.loads(cast("str", text)) if text else None
    except (ValueError, RecursionError):
        raise damaged("a point read") from None
    return cast("dict[str, Any] | None", found)


def _envelope_key(key: ResourceKey) -> str:
    suffix = "" if key.partition == NO_PARTITION else f"@{key.partition}"
    return f"fhir:{key.type}:{key.id}{suffix}"
